# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build-create-image-userdata.sh runs this template.

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "source" {
  description = "Image-Source."
  type        = string
}

variable "target" {
  description = "Folder the bundle is left in."
  type        = string
}

variable "region" {
  type    = string
  default = "ap-northeast-1"
}

variable "s3_url" {
  type    = string
  default = ""
}

data "bakery-image-source" "image" {
  source = var.source
  target = var.target
  region = var.region
  s3_url = var.s3_url
}

source "null" "prepare" {
  communicator = "none"
}

build {
  sources = ["source.null.prepare"]

  provisioner "shell-local" {
    inline = ["echo '${data.bakery-image-source.image.bundle}: needs staging: ${data.bakery-image-source.image.needs_staging}'"]
  }
}
