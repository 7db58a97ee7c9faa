# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# hello: the smallest complete bake. image/ is the Image-Source: two cloud-init parts, a few files and
# an install.sh. Everything fits into user data, so no bucket is needed.
# Rights: docs/iam/bake.json, and docs/iam/staging.json with log_url.
#
#   bakery-lab run -- packer build example/hello       # on the lab, as root: see docs/lab.md
#   AWS_REGION=eu-central-1 packer build example/hello # on AWS

packer {
  required_plugins {
    bakery = {
      source  = "github.com/amibakery/bakery"
      version = ">= 0.1.0"
    }
  }
}

variable "source_ami" {
  description = "Image to start from. The default asks AWS (or the lab) for the newest Debian 12."
  type        = string
  default     = "resolve:ssm:/aws/service/debian/release/12/latest/amd64"
}

variable "instance_type" {
  type    = string
  default = "t3.nano"
}

variable "subnet_id" {
  description = "Subnet; with log_url it needs a way out to S3. Empty: one of the default VPC."
  type        = string
  default     = ""
}

variable "ami_name" {
  description = "Name of the new image. Empty: hello-VERSION-TIMESTAMP."
  type        = string
  default     = ""
}

variable "output_file" {
  description = "File for the lines AMINAME= and AMIID=. Empty: none."
  type        = string
  default     = ""
}

variable "log_url" {
  description = "s3://bucket/prefix for the machine's log while it bakes, a second way for its verdict. Empty: none."
  type        = string
  default     = ""
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "bakery-userdata" "hello" {
  image_source  = "${path.root}/image"
  source_ami    = var.source_ami
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ami_name      = var.ami_name != "" ? var.ami_name : "hello-1.0.0-${local.stamp}"

  output_file = var.output_file

  tags = {
    Purpose = "example"
  }

  dynamic "staging" {
    for_each = var.log_url != "" ? [var.log_url] : []
    content {
      url = staging.value
    }
  }
}

build {
  sources = ["source.bakery-userdata.hello"]
}
