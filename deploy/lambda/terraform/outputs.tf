output "table" {
  description = "For the configuration of a machine from which secrets are put"
  value       = aws_dynamodb_table.state.name
}

output "seal_key" {
  description = "Likewise"
  value       = aws_kms_key.seal.arn
}

output "role" {
  description = "Of the passes"
  value       = aws_iam_role.function["passes"].arn
}

output "rotation_function" {
  description = "What a secret's rotation is to name, if `rotation` is on"
  value       = var.rotation ? aws_lambda_function.steps[0].arn : null
}
