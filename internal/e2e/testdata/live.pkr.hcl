# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# An Image-Source over SSH, to a machine that is there already.

variable "source" {
  type = string
}

variable "host" {
  type = string
}

variable "key" {
  type = string
}

variable "user" {
  type    = string
  default = "debian"
}

variable "execute_command" {
  type    = string
  default = ""
}

variable "remote_folder" {
  type    = string
  default = ""
}

variable "ignore" {
  type    = list(string)
  default = []
}

source "null" "machine" {
  ssh_host             = var.host
  ssh_username         = var.user
  ssh_private_key_file = var.key
  ssh_timeout          = "20m"
}

build {
  sources = ["source.null.machine"]

  provisioner "bakery-image-source" {
    source          = var.source
    compile_env     = { TOKEN = "compile-time-token" }
    execute_command = var.execute_command
    remote_folder   = var.remote_folder
    ignore_failures = var.ignore
  }
}
