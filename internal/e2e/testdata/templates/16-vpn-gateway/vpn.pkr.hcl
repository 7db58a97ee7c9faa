packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.2.8"
    }
  }
}

variable "owner" {
  type    = string
  default = "136693071363"
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

locals {
  name = "vpn-gateway"
  common_tags = {
    Name      = local.name
    ManagedBy = "packer"
    Branch    = "main"
  }
}

source "amazon-ebs" "vpn" {
  ami_name                    = "${local.name}-{{timestamp}}"
  instance_type               = "t3.nano"
  region                      = "us-east-1"
  associate_public_ip_address = "true"
  ssh_username                = var.ssh_username
  ssh_timeout                 = "5m"
  communicator                = "ssh"

  source_ami_filter {
    owners      = [var.owner]
    most_recent = true
    filters = {
      name                               = "debian-12-amd64*"
      architecture                       = "x86_64"
      "block-device-mapping.volume-type" = "gp3"
    }
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  run_tags      = local.common_tags
  tags          = local.common_tags
  snapshot_tags = local.common_tags
}

build {
  sources = ["sources.amazon-ebs.vpn"]

  provisioner "shell" {
    pause_before = "1s"
    inline = [
      "until [ -f /var/lib/cloud/instance/boot-finished ] || cloud-init status >/dev/null; do sleep 1; done",
      "echo 'net.ipv4.ip_forward=1' | sudo tee /etc/sysctl.d/70-vpn.conf",
      "sudo install -d -m 0700 /etc/wireguard",
    ]
  }

  provisioner "file" {
    source      = "./wg0.conf"
    destination = "~/wg0.conf"
  }

  provisioner "shell" {
    execute_command = "sudo -E -S sh '{{ .Path }}'"
    inline = [
      "umask 077",
      "sed \"s|@KEY@|$(head -c 32 /dev/urandom | base64)|\" /home/${var.ssh_username}/wg0.conf > /etc/wireguard/wg0.conf",
      "rm /home/${var.ssh_username}/wg0.conf",
    ]
  }
}
