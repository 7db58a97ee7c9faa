# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# migrate: a template for amazon-ebs, before.pkr.hcl, and the same template for bakery-userdata,
# after.pkr.hcl. See README.md.

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "source_ami" {
  description = "Image to start from, with Debian on it."
  type        = string
}

variable "ssh_username" {
  description = "The user of the source image who may use sudo."
  type        = string
  default     = "admin"
}

variable "instance_type" {
  type    = string
  default = "t3.nano"
}

variable "subnet_id" {
  description = "Empty: one of the default VPC."
  type        = string
  default     = ""
}

variable "ami_name" {
  description = "Name of the new image. Empty: site-VERSION-TIMESTAMP."
  type        = string
  default     = ""
}

variable "site_version" {
  type    = string
  default = "1.4.2"
}

variable "bucket" {
  description = "The bucket of the team; the site is told to keep its uploads there."
  type        = string
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "bakery-userdata" "site" {
  source_ami    = var.source_ami
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ssh_username  = var.ssh_username

  ami_name        = var.ami_name != "" ? var.ami_name : "site-${var.site_version}-${local.stamp}"
  ami_description = "The site, version ${var.site_version}"

  tags = {
    Name    = "site"
    Version = var.site_version
  }

  staging {
    url = "s3://${var.bucket}/packer"
  }
}

build {
  sources = ["source.bakery-userdata.site"]

  provisioner "shell" {
    environment_vars = [
      "SITE_VERSION=${var.site_version}",
      "SITE_BUCKET=${var.bucket}",
    ]
    inline = [
      "cloud-init status --wait >/dev/null || [ $? -eq 2 ]", # its last modules may still run
      "mkdir -p ~/site.d",
      "printf 'version=%s\\nbucket=%s\\n' \"$SITE_VERSION\" \"$SITE_BUCKET\" >~/site.d/site.conf",
      "echo \"prepared by $USER in $PWD\"",
    ]
  }

  provisioner "file" {
    source      = "${path.root}/files/site.service"
    destination = "/tmp/site.service"
  }

  provisioner "file" {
    source      = "${path.root}/files/site"
    destination = "/tmp"
  }

  provisioner "shell" {
    script          = "${path.root}/files/setup.sh"
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
    environment_vars = [
      "SITE_USER=www-data",
    ]
  }
}
