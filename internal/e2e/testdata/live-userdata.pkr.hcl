# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# The Image-Source of live.pkr.hcl by user data: named by the builder, or joined by the provisioner.

variable "path" {
  type = string
}

variable "source" {
  type = string
}

variable "name" {
  type = string
}

variable "source_ami" {
  type = string
}

locals {
  env = { TOKEN = "compile-time-token" }
}

source "bakery-userdata" "named" {
  image_source     = var.source
  compile_env      = local.env
  source_ami       = var.source_ami
  ami_name         = var.name
  instance_timeout = "20m"

  staging {
    url = "s3://bakery-lab/${var.name}"
  }
}

source "bakery-userdata" "joined" {
  source_ami       = var.source_ami
  ami_name         = var.name
  instance_timeout = "20m"

  staging {
    url = "s3://bakery-lab/${var.name}"
  }
}

build {
  sources = ["source.bakery-userdata.${var.path}"]

  provisioner "bakery-image-source" {
    only        = ["bakery-userdata.joined"]
    source      = var.source
    compile_env = local.env
  }
}
