data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

data "archive_file" "package" {
  type        = "zip"
  source_dir  = var.package
  output_path = "${path.root}/.terraform/${var.name}.zip"
}

locals {
  alarm_actions = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]
  environment = merge(var.environment, {
    ROTATOR_CONFIG     = "rotator.yaml"
    ROTATOR_TABLE      = aws_dynamodb_table.state.name
    ROTATOR_KMS_KEY_ID = aws_kms_key.seal.arn
  })
}

# The state: claims live there. No TTL, for a claim that is forgotten is a token that may be spent twice.
resource "aws_dynamodb_table" "state" {
  name                        = "${var.name}-state"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "id"
  deletion_protection_enabled = true

  attribute {
    name = "id"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_key" "seal" {
  description         = "Wraps rotator's seal key"
  enable_key_rotation = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TheAccountGrants"
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })

  lifecycle {
    prevent_destroy = true
  }
}

# One at a time, as a cron job that does not overlap: two at once do no harm, and look at everything twice.
resource "aws_lambda_function" "passes" {
  function_name                  = "${var.name}-passes"
  description                    = "A pass over all credentials, or what is due to the queue"
  role                           = aws_iam_role.function["passes"].arn
  runtime                        = "python3.11"
  architectures                  = ["x86_64"]
  handler                        = "rotator.aws_lambda.handler"
  filename                       = data.archive_file.package.output_path
  source_code_hash               = data.archive_file.package.output_base64sha256
  memory_size                    = 1024
  timeout                        = 300
  reserved_concurrent_executions = 1

  environment {
    variables = merge(local.environment, var.fan_out ? { ROTATOR_QUEUE_URL = aws_sqs_queue.orders[0].url } : {})
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function["passes"].name
  }
}

# The next schedule is the retry: Lambda's own two would come while it runs.
resource "aws_lambda_function_event_invoke_config" "passes" {
  function_name                = aws_lambda_function.passes.function_name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 600
}

resource "aws_scheduler_schedule" "passes" {
  name                = "${var.name}-passes"
  schedule_expression = var.schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.passes.arn
    role_arn = aws_iam_role.scheduler.arn
    input    = jsonencode({ horizon = var.horizon, fan_out = var.fan_out })

    retry_policy {
      maximum_retry_attempts = 0
    }
  }
}

resource "aws_cloudwatch_log_group" "function" {
  for_each          = local.functions
  name              = "/aws/lambda/${var.name}-${each.key}"
  retention_in_days = var.log_days
}
