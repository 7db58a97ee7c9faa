# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# One bake of make test-aws. Everything it makes carries the tag bakery-test-aws.

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "image_source" {
  type = string
}

variable "source_ami" {
  type = string
}

variable "instance_type" {
  type = string
}

variable "ami_name" {
  type = string
}

variable "run" {
  type = string
}

variable "output_file" {
  type = string
}

variable "staging_url" {
  type = string
}

locals {
  tags = {
    "bakery-test-aws" = var.run
  }
}

source "bakery-userdata" "trial" {
  image_source  = var.image_source
  source_ami    = var.source_ami
  instance_type = var.instance_type
  ami_name      = var.ami_name
  output_file   = var.output_file
  run_tags      = local.tags
  tags          = local.tags
  snapshot_tags = local.tags
  sweep         = false

  dynamic "staging" {
    for_each = var.staging_url != "" ? [var.staging_url] : []
    content {
      url = staging.value
    }
  }
}

build {
  sources = ["source.bakery-userdata.trial"]
}
