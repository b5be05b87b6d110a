# The same as the parameters of ../template.yaml; the defaults, too.

variable "name" {
  description = "Begins the names of all that is made"
  type        = string
  default     = "rotator"
}

variable "package" {
  description = "The folder that `make lambda` has filled"
  type        = string
}

variable "secret_arns" {
  description = "The secrets that rotator may read and write, as ARNs; a part of a name may be *"
  type        = list(string)
  validation {
    condition     = length(var.secret_arns) > 0 && !contains(var.secret_arns, "*")
    error_message = "Name the secrets: rotator is to reach no others."
  }
}

variable "secrets_key_arn" {
  description = "The customer managed key that encrypts these secrets, if there is one"
  type        = string
  default     = ""
}

variable "discover" {
  description = "Whether the configuration has `discover` rules, which list the secrets of the account"
  type        = bool
  default     = false
}

variable "fan_out" {
  description = "For fleets that one function cannot rotate in its time"
  type        = bool
  default     = false
}

variable "rotation" {
  description = "Whether Secrets Manager itself starts rotations: a function of its own for its four steps"
  type        = bool
  default     = false
}

variable "schedule" {
  description = "When a pass begins"
  type        = string
  default     = "rate(15 minutes)"
}

variable "horizon" {
  description = "The time until the next pass, with some room"
  type        = string
  default     = "20m"
}

variable "alarm_topic_arn" {
  description = "An SNS topic that hears of alarms, if there is one"
  type        = string
  default     = ""
}

variable "notify_topic_arn" {
  description = "The SNS topic of a notifier in the configuration, if it has one"
  type        = string
  default     = ""
}

variable "notify_bus_arn" {
  description = "The EventBridge event bus of a notifier in the configuration, if it has one"
  type        = string
  default     = ""
}

variable "log_days" {
  description = "How long logs are kept"
  type        = number
  default     = 30
}

variable "environment" {
  description = "More variables for the functions, such as those that the configuration names; no secrets"
  type        = map(string)
  default     = {}
}
