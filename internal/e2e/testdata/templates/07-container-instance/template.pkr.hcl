packer {
  required_plugins {
    amazon = {
      version = "= 1.8.2"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

locals {
  ami_name = "${var.ami_name_prefix}-${var.ami_version}"
  scripts  = "${path.root}/scripts"
}

variable "ami_name_prefix" {
  type    = string
  default = "container-instance"
}

variable "ami_version" {
  type        = string
  description = "Version, as YYYYMMDD"
  default     = "20250101"
  validation {
    condition     = can(regex("^[0-9]{8}$", var.ami_version))
    error_message = "The version is YYYYMMDD."
  }
}

variable "agent_version" {
  type    = string
  default = "1.86.2"
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "source_ami" {
  type = string
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

variable "run_tags" {
  type    = map(string)
  default = { team = "platform" }
}

source "amazon-ebs" "amd" {
  ami_name        = local.ami_name
  ami_description = "Container instance with agent ${var.agent_version}"
  instance_type   = "c5.large"
  launch_block_device_mappings {
    volume_size           = 30
    delete_on_termination = true
    volume_type           = "gp3"
    device_name           = "/dev/xvda"
  }
  region         = var.region
  source_ami     = var.source_ami
  user_data_file = "${path.root}/cloud-init.yml"
  ssh_interface  = "public_ip"
  ssh_username   = var.ssh_username
  run_tags       = var.run_tags
  tags = {
    os_version        = "Debian 12"
    source_image_name = "{{ .SourceAMIName }}"
    agent_version     = var.agent_version
    ami_type          = "amd"
    ami_version       = var.ami_version
  }
}

build {
  sources = ["source.amazon-ebs.amd"]

  provisioner "file" {
    source      = "files/90_agent.cfg.example"
    destination = "/tmp/90_agent.cfg"
  }

  provisioner "shell" {
    inline_shebang = "/bin/sh -ex"
    inline = [
      "sudo mv /tmp/90_agent.cfg /etc/agent.cfg",
      "sudo chown root:root /etc/agent.cfg"
    ]
  }

  provisioner "shell" {
    inline_shebang    = "/bin/sh -ex"
    expect_disconnect = "true"
    inline = [
      "test -e /etc/from-user-data",
      "sudo reboot"
    ]
  }

  provisioner "shell" {
    environment_vars = [
      "AGENT_VERSION=${var.agent_version}"
    ]
    pause_before        = "10s" # pause for starting the reboot
    start_retry_timeout = "40s" # wait before start retry
    max_retries         = 3
    script              = "${local.scripts}/agent.sh"
  }

  provisioner "shell" {
    script = "${local.scripts}/cleanup.sh"
  }
}
