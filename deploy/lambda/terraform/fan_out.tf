resource "aws_lambda_function" "workers" {
  count            = var.fan_out ? 1 : 0
  function_name    = "${var.name}-workers"
  description      = "Rotates what the queue names"
  role             = aws_iam_role.function["workers"].arn
  runtime          = "python3.11"
  architectures    = ["x86_64"]
  handler          = "rotator.aws_lambda.handler"
  filename         = data.archive_file.package.output_path
  source_code_hash = data.archive_file.package.output_base64sha256
  memory_size      = 1024
  timeout          = 300

  environment {
    variables = local.environment
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.function["workers"].name
  }
}

resource "aws_lambda_event_source_mapping" "orders" {
  count                   = var.fan_out ? 1 : 0
  event_source_arn        = aws_sqs_queue.orders[0].arn
  function_name           = aws_lambda_function.workers[0].arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 10
  }
}

resource "aws_sqs_queue" "orders" {
  count = var.fan_out ? 1 : 0
  name  = "${var.name}-orders"
  # Six times the function's timeout, as Lambda's guide asks for.
  visibility_timeout_seconds = 1800
  # An order that is older than the next schedule is made anew by that.
  message_retention_seconds = 7200
  sqs_managed_sse_enabled   = true

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_orders[0].arn
    maxReceiveCount     = 3
  })
}

resource "aws_sqs_queue" "dead_orders" {
  count                     = var.fan_out ? 1 : 0
  name                      = "${var.name}-dead-orders"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
}
