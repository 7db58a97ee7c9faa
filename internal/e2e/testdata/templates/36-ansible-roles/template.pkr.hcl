packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = ">= 1.1.0"
    }
  }
}

variable "source_ami" { type = string }
variable "ssh_username" { default = "ec2-user" }
variable "ami_name" { default = "ansible-roles-{{timestamp}}" }

source "amazon-ebs" "roles" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
}

build {
  sources = ["source.amazon-ebs.roles"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "shell" {
    inline = [
      "if command -v dnf >/dev/null; then sudo dnf -y install ansible-core; else",
      "sudo apt-get -q update && sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends ansible-core || sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends -t \"$(. /etc/os-release; echo $VERSION_CODENAME)\" ansible; fi",
    ]
  }

  provisioner "ansible-local" {
    playbook_dir            = "ansible"
    playbook_file           = "ansible/site.yml"
    inventory_groups        = ["web", "monitored"]
    staging_directory       = "/tmp/ansible-local"
    clean_staging_directory = true
    extra_arguments         = ["--diff", "-e", "release=7"]
  }

  provisioner "shell" {
    inline = ["test ! -e /tmp/ansible-local", "sudo cat /etc/app/release"]
  }
}
