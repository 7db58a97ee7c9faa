packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "runner_version" { default = "17.5.0" }
variable "debug" {
  type    = bool
  default = false
}
variable "skip_create_ami" {
  type    = bool
  default = false
}
variable "ssh_username" { default = "admin" }
variable "ami_filter" { default = "debian-12-amd64*" }

source "amazon-ebs" "runner" {
  ami_name        = "gitlab-runner-${replace(var.runner_version, ".", "-")}-{{timestamp}}"
  instance_type   = "t3.medium"
  region          = var.region
  skip_create_ami = var.skip_create_ami
  ssh_username    = var.ssh_username

  source_ami_filter {
    filters = {
      name                = var.ami_filter
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  user_data = <<-EOF
    #!/bin/bash
    echo runner > /etc/role
  EOF

  aws_polling {
    delay_seconds = 10
    max_attempts  = 120
  }

  tags = {
    Name    = "gitlab-runner"
    Version = var.runner_version
  }
}

build {
  sources = ["source.amazon-ebs.runner"]

  provisioner "shell" {
    inline = ["cloud-init status --wait", "grep -q runner /etc/role"]
  }

  provisioner "breakpoint" {
    disable = !var.debug
    note    = "look around"
  }

  provisioner "file" {
    source      = "config"
    destination = "/tmp/runner"
  }

  provisioner "shell" {
    env = {
      RUNNER_VERSION = var.runner_version
    }
    script = "runner.sh"
  }
}
