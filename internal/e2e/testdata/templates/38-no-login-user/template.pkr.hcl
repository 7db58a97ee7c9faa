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
variable "ami_name" { default = "no-login-user-{{timestamp}}" }

source "amazon-ebs" "appliance" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
}

build {
  sources = ["source.amazon-ebs.appliance"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "file" {
    source      = "appliance.sh"
    destination = "appliance.sh"
  }

  provisioner "shell" {
    inline = [
      "sudo install -m 0755 appliance.sh /usr/local/sbin/appliance",
      "sudo useradd --system --create-home --home-dir /var/lib/appliance appliance",
      "echo 'appliance:*' | sudo chpasswd -e",
      "sudo passwd -l root",
    ]
  }

  # nobody may log in to the appliance
  provisioner "shell" {
    environment_vars = ["LOGIN_USER=${var.ssh_username}"]
    execute_command  = "sudo env {{ .Vars }} bash {{ .Path }}"
    inline = [
      "apt-get clean 2>/dev/null || true",
      "rm -rf /var/lib/apt/lists/* /root/.ssh /root/.bash_history",
      "truncate -s 0 /var/log/wtmp /var/log/lastlog 2>/dev/null || true",
      "sed -i \"/^$LOGIN_USER:/d\" /etc/subuid /etc/subgid 2>/dev/null || true",
      "userdel -f -r \"$LOGIN_USER\" || true",
      "rm -f /etc/sudoers.d/90-cloud-init-users",
      "rm -rf \"/home/$LOGIN_USER\"",
    ]
  }
}
