packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.9"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "environment" {
  type    = string
  default = "staging"
}
variable "subnet_id" { type = string }
variable "security_group_id" { type = string }
variable "base_ami" { type = string }
variable "ssh_username" {
  type    = string
  default = "admin"
}

locals {
  heap = { staging = "256m", production = "2g" }
  options = [
    "-Xmx${local.heap[var.environment]}",
    "-Dspring.profiles.active=${var.environment}",
  ]
}

source "amazon-ebs" "service" {
  ami_name          = "java-service-${var.environment}-{{isotime \"2006-01-02-150405\"}}"
  instance_type     = "t3.large"
  region            = "us-east-1"
  source_ami        = var.base_ami
  subnet_id         = var.subnet_id
  security_group_id = var.security_group_id

  communicator         = "ssh"
  ssh_interface        = "session_manager"
  session_manager_port = 8422
  ssh_username         = var.ssh_username

  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect   = "Allow"
      Action   = ["ssm:UpdateInstanceInformation", "ssmmessages:*"]
      Resource = ["*"]
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 16
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    delete_on_termination = true
    encrypted             = true
  }

  tags = {
    Name        = "java-service"
    Environment = var.environment
    Base        = "{{ .SourceAMI }}"
  }
}

build {
  sources = ["source.amazon-ebs.service"]

  provisioner "file" {
    destination = "/tmp/java-service.env"
    content     = "JAVA_OPTS=${join(" ", local.options)}\n"
  }

  provisioner "shell" {
    environment_vars = [
      "SERVICE=java-service",
      "DEBIAN_FRONTEND=noninteractive",
    ]
    execute_command = "chmod +x '{{ .Path }}'; sudo sh -c '{{ .Vars }} {{ .Path }}'"
    script          = "${path.root}/service.sh"
  }
}
