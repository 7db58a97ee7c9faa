packer {
  required_plugins {
    amazon = {
      version = ">= 1.2.8"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "release" {
  type    = string
  default = "1.0.0"
}
variable "source_ami" { type = string }
variable "subnet_id" { type = string }
variable "ssh_username" { default = "admin" }

source "amazon-ebs" "release" {
  ami_name                    = "app-release-${var.release}"
  instance_type               = "t3.micro"
  region                      = "us-east-1"
  source_ami                  = var.source_ami
  subnet_id                   = var.subnet_id
  associate_public_ip_address = true
  ssh_username                = var.ssh_username
  ami_users                   = ["210987654321"]
  snapshot_users              = ["210987654321"]

  run_tags        = { Name = "packer-app-release" }
  run_volume_tags = { Name = "packer-app-release" }
  tags = {
    Release = var.release
  }
}

build {
  sources = ["source.amazon-ebs.release"]

  # compile on this machine, upload what came out
  provisioner "shell-local" {
    environment_vars = ["RELEASE=${var.release}"]
    scripts          = ["./build.sh"]
  }

  provisioner "file" {
    source      = "build/app.tar.gz"
    destination = "/tmp/app.tar.gz"
    generated   = true
  }

  provisioner "shell" {
    inline = [
      "sudo mkdir -p /srv/app/releases/${var.release}",
      "sudo tar -xzf /tmp/app.tar.gz -C /srv/app/releases/${var.release} --no-same-owner",
      "sudo ln -sfn releases/${var.release} /srv/app/current",
      "rm /tmp/app.tar.gz",
      "/srv/app/current/bin/app --version | grep -Fx ${var.release}",
    ]
  }

  provisioner "shell-local" {
    inline = ["rm -rf build"]
  }

  post-processors {
    post-processor "manifest" {
      output = "packer-manifest.json"
    }
    post-processor "shell-local" {
      inline = ["grep -o 'ami-[0-9a-f]*' packer-manifest.json > ami-id.txt", "test -s ami-id.txt"]
    }
  }
}
