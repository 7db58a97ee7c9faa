# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# A bake with a key pair, whose Image-Source asks for keys, sudo rules and files of its own.

variable "source" {
  type = string
}

variable "name" {
  type = string
}

variable "source_ami" {
  type = string
}

variable "key_name" {
  type    = string
  default = ""
}

source "bakery-userdata" "test" {
  image_source     = var.source
  source_ami       = var.source_ami
  ami_name         = var.name
  key_name         = var.key_name
  instance_timeout = "20m"
  log_file         = "/dev/null"

  staging {
    url = "s3://bakery-lab/${var.name}"
  }
}

build {
  sources = ["source.bakery-userdata.test"]
}
