variable "region" {
  type    = string
  default = "us-east-1"
}

variable "copy_to" {
  type    = list(string)
  default = ["us-east-1", "eu-west-1"]
}

variable "organizations" {
  type    = list(string)
  default = ["arn:aws:organizations::123456789012:organization/o-abcdefghij"]
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

locals {
  stamp        = formatdate("YYYYMMDD-hhmm", timestamp())
  deprecate_at = timeadd(timestamp(), "8760h")
  tags = {
    Owner  = "security"
    Commit = "unknown"
  }
}
