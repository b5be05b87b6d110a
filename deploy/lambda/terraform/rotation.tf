# For secrets whose rotation Secrets Manager starts: `aws secretsmanager rotate-secret --rotation-lambda-arn …`.
resource "aws_lambda_function" "steps" {
  count            = var.rotation ? 1 : 0
  function_name    = "${var.name}-steps"
  description      = "The four steps of a rotation that Secrets Manager starts"
  role             = aws_iam_role.function["steps"].arn
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
    log_group  = aws_cloudwatch_log_group.function["steps"].name
  }
}

resource "aws_lambda_permission" "steps" {
  count          = var.rotation ? 1 : 0
  statement_id   = "SecretsManager"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.steps[0].function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = data.aws_caller_identity.current.account_id
}
