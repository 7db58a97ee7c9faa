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
variable "ami_name" { default = "team-keys-{{timestamp}}" }

variable "team" {
  type = map(object({ key = string, sudo = bool }))
  default = {
    ada   = { key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAdaAdaAdaAdaAdaAdaAdaAdaAdaAdaAdaAdaAdaAd ada@laptop", sudo = true }
    grace = { key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGraceGraceGraceGraceGraceGraceGraceGrace grace@desk", sudo = false }
  }
}

source "amazon-ebs" "team" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username

  tags = {
    Team = join(",", keys(var.team))
  }
}

build {
  sources = ["source.amazon-ebs.team"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "file" {
    content     = var.team["ada"].key
    destination = "/tmp/ada.pub"
  }

  provisioner "file" {
    content     = "${var.team["grace"].key}\n"
    destination = "/tmp/grace.pub"
  }

  provisioner "shell" {
    environment_vars = [
      "TEAM=${join(" ", keys(var.team))}",
      "ADMINS=${join(" ", [for name, user in var.team : name if user.sudo])}",
    ]
    execute_command = "sudo env {{ .Vars }} sh {{ .Path }}"
    inline = [
      "set -eu",
      "getent group team >/dev/null || groupadd --gid 4000 team",
      "for name in $TEAM; do",
      "  useradd --create-home --gid team --shell /bin/bash \"$name\"",
      "  install -d -m 0700 -o \"$name\" -g team \"/home/$name/.ssh\"",
      "  install -m 0600 -o \"$name\" -g team \"/tmp/$name.pub\" \"/home/$name/.ssh/authorized_keys\"",
      "done",
      "for name in $ADMINS; do",
      "  echo \"$name ALL=(ALL) NOPASSWD: ALL\" > \"/etc/sudoers.d/90-$name\"",
      "  chmod 0440 \"/etc/sudoers.d/90-$name\"",
      "done",
      "visudo -c",
      "rm -f /tmp/*.pub",
    ]
  }

  provisioner "shell" {
    inline = [
      "sudo -u ada sudo -n id -u | grep -x 0",
      "! sudo -u grace sudo -n true 2>/dev/null",
      "sudo stat -c %U:%G:%a /home/ada/.ssh/authorized_keys | grep -x ada:team:600",
    ]
  }
}
