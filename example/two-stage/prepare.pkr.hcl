# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# two-stage, first stage: has the sources, but no cloud rights. It compiles the Image-Source to a bundle,
# without any network. Pass the folder out/ to the second stage, bake.pkr.hcl.
#
#   packer build example/two-stage/prepare.pkr.hcl

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "out" {
  description = "Folder the bundle is left in, relative to where packer runs."
  type        = string
  default     = "out"
}

data "bakery-image-source" "app" {
  source = "${path.root}/image"
  target = var.out
}

# packer build needs a source to build; this one only prints what has been made.
source "null" "prepare" {
  communicator = "none"
}

build {
  sources = ["source.null.prepare"]

  provisioner "shell-local" {
    inline = [
      "echo '${data.bakery-image-source.app.name} ${data.bakery-image-source.app.version}: user data of ${data.bakery-image-source.app.user_data_size} bytes, sha256 ${data.bakery-image-source.app.user_data_sha256}'",
    ]
  }
}
