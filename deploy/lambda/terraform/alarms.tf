resource "aws_cloudwatch_metric_alarm" "passes_fail" {
  alarm_name          = "${var.name}-passes-fail"
  alarm_description   = "A pass of rotator as a whole ended with an error; see its log group"
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.passes.function_name }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "passes_stop" {
  alarm_name          = "${var.name}-passes-stop"
  alarm_description   = "No pass of rotator has begun for two hours"
  namespace           = "AWS/Lambda"
  metric_name         = "Invocations"
  dimensions          = { FunctionName = aws_lambda_function.passes.function_name }
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "orders_die" {
  count               = var.fan_out ? 1 : 0
  alarm_name          = "${var.name}-orders-die"
  alarm_description   = "A credential was not rotated after three deliveries; its name is in the dead-letter queue"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_orders[0].name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

# What a pass reports of single credentials is no error of the function: it is taken from the audit trail in the log.
resource "aws_cloudwatch_log_metric_filter" "person_needed" {
  for_each       = setintersection(local.functions, ["passes", "workers"])
  name           = "${var.name}-person-needed"
  log_group_name = aws_cloudwatch_log_group.function[each.key].name
  pattern        = "{ ($.event = \"credential.reauthorization_required\") || ($.event = \"rotation.failed\") }"

  metric_transformation {
    namespace     = "rotator"
    name          = "${var.name}-PersonNeeded"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "people_are_needed" {
  alarm_name          = "${var.name}-people-are-needed"
  alarm_description   = "A grant is dead, or a rotation failed in a way that needs a person; rotator explain tells which"
  namespace           = "rotator"
  metric_name         = "${var.name}-PersonNeeded"
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}
