packer {
  required_version = ">= 1.9.0"
  required_plugins {
    amazon = {
      version = ">= 1.2.1"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "source_ami" { type = string }
variable "kms_key_id" {
  type    = string
  default = "alias/ami"
}
variable "ssh_username" {
  type    = string
  default = "admin"
}

locals {
  version = "2.1"
}

source "amazon-ebs" "base" {
  ami_name      = "hardened-base-${local.version}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username

  encrypt_boot = true
  kms_key_id   = var.kms_key_id
  imds_support = "v2.0"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  ssh_clear_authorized_keys                 = true
  temporary_security_group_source_public_ip = true

  tags = {
    Name      = "hardened-base"
    Version   = local.version
    Encrypted = "true"
  }
  snapshot_tags = {
    Name = "hardened-base"
  }
}

build {
  sources = ["source.amazon-ebs.base"]

  provisioner "shell" {
    execute_command = "sudo -S bash -c '{{ .Vars }} {{ .Path }}'"
    scripts = [
      "scripts/10-ssh.sh",
      "scripts/20-sysctl.sh",
      "scripts/30-accounts.sh",
      "scripts/99-cleanup.sh",
    ]
  }
}
