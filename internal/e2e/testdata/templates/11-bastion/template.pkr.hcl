packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.6"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "region" { default = "us-east-1" }
variable "ssh_username" { default = "admin" }
variable "bastion_host" { default = "bastion.example.com" }

locals {
  motd = "Bastion. Sessions are recorded."
}

source "amazon-ebs" "bastion" {
  region        = var.region
  ami_name      = "bastion-{{isotime \"20060102150405\"}}"
  instance_type = "t3.nano"

  source_ami_filter {
    filters = {
      name                = "debian-12-amd64*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  vpc_filter {
    filters = {
      isDefault = "true"
    }
  }
  subnet_filter {
    filters = {
      state = "available"
    }
    most_free = true
    random    = false
  }
  security_group_filter {
    filters = {
      group-name = "default"
    }
  }
  associate_public_ip_address = true

  ssh_username           = var.ssh_username
  ssh_bastion_host       = var.bastion_host
  ssh_bastion_username   = "jump"
  ssh_bastion_agent_auth = true
  ssh_handshake_attempts = 20
  ssh_timeout            = "15m"

  tags = {
    Name = "bastion"
  }
}

build {
  sources = ["source.amazon-ebs.bastion"]

  provisioner "shell" {
    environment_vars = ["MOTD=${local.motd}"]
    inline = [
      "echo \"$MOTD\" | sudo tee /etc/motd",
      "printf 'AllowTcpForwarding yes\\nAllowAgentForwarding no\\nClientAliveInterval 60\\n' | sudo tee /etc/ssh/sshd_config.d/bastion.conf",
      "sudo mkdir -p /run/sshd && sudo sshd -t",
    ]
  }

  provisioner "file" {
    source      = "keys/"
    destination = "/tmp"
  }

  provisioner "shell" {
    inline = [
      "for name in alice bob; do sudo useradd -m -s /bin/bash $name; sudo install -d -m 700 -o $name -g $name /home/$name/.ssh; sudo install -m 600 -o $name -g $name /tmp/$name.pub /home/$name/.ssh/authorized_keys; rm /tmp/$name.pub; done",
    ]
  }
}
