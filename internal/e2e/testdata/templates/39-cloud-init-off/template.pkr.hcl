packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "source_ami" { type = string }
variable "ssh_username" { default = "ec2-user" }
variable "ami_name" { default = "cloud-init-off-{{timestamp}}" }

source "amazon-ebs" "frozen" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
}

build {
  sources = ["source.amazon-ebs.frozen"]

  provisioner "shell" {
    inline = [
      "/usr/bin/cloud-init status --wait || true",
      "sudo hostnamectl set-hostname frozen || echo frozen | sudo tee /etc/hostname",
      "echo '127.0.1.1 frozen' | sudo tee -a /etc/hosts",
      "printf '#!/bin/sh\\nssh-keygen -A\\ndate > /run/first-boot\\n' | sudo tee /usr/local/sbin/first-boot",
      "sudo chmod 0755 /usr/local/sbin/first-boot",
      "printf '[Unit]\\nBefore=ssh.service sshd.service\\n[Service]\\nType=oneshot\\nExecStart=/usr/local/sbin/first-boot\\n[Install]\\nWantedBy=multi-user.target\\n' | sudo tee /etc/systemd/system/first-boot.service",
      "sudo systemctl enable first-boot",
      "sudo touch /etc/cloud/cloud-init.disabled",
    ]
  }
}
