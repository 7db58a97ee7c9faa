# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Two images of one Image-Source, at the same time.

variable "source" {
  type = string
}

variable "name" {
  type = string
}

source "bakery-userdata" "test" {
  image_source     = var.source
  source_ami       = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
  instance_timeout = "20m"

  staging {
    url = "s3://bakery-lab/two/${var.name}"
  }
}

build {
  source "source.bakery-userdata.test" {
    name     = "one"
    ami_name = "${var.name}-one"
  }

  source "source.bakery-userdata.test" {
    name     = "two"
    ami_name = "${var.name}-two"
  }
}
