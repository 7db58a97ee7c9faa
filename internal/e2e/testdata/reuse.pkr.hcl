# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# A build that bakes only when something has changed, and what can.

variable "source_ami" {
  type = string
}

variable "folder" {
  description = "Where image/, setup.sh, the playbook and the manifest are."
  type        = string
}

variable "secret" {
  type      = string
  default   = "swordfish"
  sensitive = true
}

variable "run_as" {
  type    = string
  default = "admin"
}

variable "users" {
  type    = list(string)
  default = ["111111111111"]
}

locals {
  stamp = formatdate("YYYYMMDD'T'hhmmssZ", timestamp())
}

source "bakery-userdata" "test" {
  source_ami      = var.source_ami
  image_source    = "${var.folder}/image"
  ami_name        = "reuse-${local.stamp}-${uuidv4()}"
  ami_description = "Made {{ isotime }} by {{ .BakeID }}"
  image_version   = formatdate("YYYY.MM.DD", timestamp())
  ami_users       = var.users
  deprecate_at    = timeadd(timestamp(), "8760h")
  reuse_unchanged = true
  run_as          = var.run_as

  instance_poll_interval = "1s"
  image_poll_interval    = "1s"

  tags = {
    built = timestamp()
  }
}

build {
  sources = ["source.bakery-userdata.test"]

  provisioner "shell" {
    inline = ["echo $SECRET"]
    env = {
      SECRET = var.secret
    }
  }
  provisioner "shell" {
    script           = "${var.folder}/setup.sh"
    use_env_var_file = true
    env = {
      A = "1"
    }
  }
  provisioner "file" {
    content     = "x\n"
    destination = "/tmp/content"
  }
  provisioner "shell-local" {
    inline = ["true"]
  }

  post-processor "manifest" {
    output = "${var.folder}/manifest.json"
    custom_data = {
      inputs = build.Inputs
      digest = build.InputsDigest
      reused = build.Reused
    }
  }
}
