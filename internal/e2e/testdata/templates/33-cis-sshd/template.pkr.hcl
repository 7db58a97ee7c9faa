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
variable "ami_name" { default = "cis-sshd-{{timestamp}}" }

source "amazon-ebs" "cis" {
  ami_name                  = var.ami_name
  instance_type             = "t3.micro"
  region                    = "us-east-1"
  source_ami                = var.source_ami
  ssh_username              = var.ssh_username
  ssh_clear_authorized_keys = true
  temporary_key_pair_type   = "ed25519"

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
}

build {
  sources = ["source.amazon-ebs.cis"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "shell" {
    environment_vars = ["LOGIN_USER=${var.ssh_username}"]
    execute_command  = "chmod +x {{ .Path }}; {{ .Vars }} sudo -E bash '{{ .Path }}'"
    remote_folder    = "/var/tmp"
    scripts          = ["cis/1-filesystem.sh", "cis/4-logging.sh", "cis/5-access.sh"]
  }

  # sshd has been restarted; a new connection must still be let in
  provisioner "shell" {
    remote_folder = "/var/tmp"
    inline = [
      "sudo sshd -T | grep -i '^maxauthtries 4$'",
      "sudo grep -rhi '^PermitRootLogin' /etc/ssh/sshd_config.d /etc/ssh/sshd_config | head -n 1 | grep -i 'no$'",
    ]
  }
}
