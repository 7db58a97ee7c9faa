packer {
  required_plugins {
    amazon = {
      version = ">= 1.0.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "ssh_username" { default = "admin" }
variable "region" { default = "us-east-1" }
variable "aws_access_key" {
  type    = string
  default = env("AWS_ACCESS_KEY_ID")
}
variable "aws_secret_key" {
  type      = string
  default   = env("AWS_SECRET_ACCESS_KEY")
  sensitive = true
}

source "amazon-ebs" "rails" {
  access_key    = var.aws_access_key
  secret_key    = var.aws_secret_key
  ami_name      = "rails {{isotime \"2006-01-02 15.04.05\"}}"
  instance_type = "t2.small"
  region        = var.region
  ssh_username  = var.ssh_username

  source_ami_filter {
    filters     = { name = "debian-12-amd64*" }
    owners      = ["136693071363"]
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.rails"]

  provisioner "shell" {
    script = "install-rvm.sh"
  }

  # ruby scripts, run by the ruby that rvm has put into the home
  provisioner "shell" {
    execute_command = "cd /home/${var.ssh_username}; . .rvm/scripts/rvm; {{ .Vars }} ruby {{ .Path }}"
    scripts         = ["setup.rb"]
  }

  provisioner "shell" {
    execute_command = "{{ .Vars }} /bin/bash -e -l {{ .Path }}"
    inline = [
      "shopt -q login_shell",
      "type rvm > /tmp/rvm-type",
      "sudo mv /tmp/rvm-type /etc/rvm-type",
    ]
  }
}
