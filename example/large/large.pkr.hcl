# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# large: an fs/ over the 8192 bytes that fit into the user data. It is uploaded to S3, and the machine downloads
# it with a presigned URL, so the machine needs no instance profile and no rights.
# script/compile.sh makes the files when the template is built, so they are not in git.
# Rights: docs/iam/bake.json, and docs/iam/staging.json.
#
#   bakery-lab run -- packer build example/large       # as root: see docs/lab.md; the lab has the bucket
#   packer build -var staging_url=s3://my-bucket/bake example/large

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
  description = "Subnet with a way out to S3. Empty: one of the default VPC."
  type        = string
  default     = ""
}

variable "staging_url" {
  description = "Where fs.tgz is put for the length of the bake. The default is the lab's bucket."
  type        = string
  default     = "s3://bakery-lab/large"
}

variable "mebibytes" {
  description = "How much compile.sh makes."
  type        = number
  default     = 16
}

variable "ami_name" {
  type    = string
  default = ""
}

locals {
  stamp = formatdate("YYYYMMDD-hhmmss", timestamp())
}

source "bakery-userdata" "large" {
  image_source  = "${path.root}/image"
  compile_env   = { LARGE_MEBIBYTES = "${var.mebibytes}" }
  source_ami    = var.source_ami
  instance_type = var.instance_type
  subnet_id     = var.subnet_id
  ami_name      = var.ami_name != "" ? var.ami_name : "large-1.0.0-${local.stamp}"

  staging {
    url = var.staging_url
  }
}

build {
  sources = ["source.bakery-userdata.large"]
}
