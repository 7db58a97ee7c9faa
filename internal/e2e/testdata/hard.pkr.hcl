# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# What TestGuests bakes on every base image: everything that depends on the guest, and a failure of each kind.

variable "name" {
  type = string
}

variable "source_ami" {
  type = string
}

variable "user" {
  type = string
}

variable "key_name" {
  type = string
}

variable "staged" {
  type        = string
  description = "The Image-Source of hard/image, with so much in it that its user data is staged."
}

variable "secret" {
  type        = string
  description = "A directory secret that is uploaded and removed."
}

source "bakery-userdata" "guest" {
  source_ami       = var.source_ami
  ssh_username     = var.user
  key_name         = var.key_name
  instance_timeout = "10m"
  log_file         = "/dev/null"

  staging {
    url = "s3://bakery-lab/${var.name}"
  }
}

build {
  source "bakery-userdata.guest" {
    name         = "launched"
    image_source = "${path.root}/hard/image"
    ami_name     = "${var.name}-launched"
  }

  source "bakery-userdata.guest" {
    name         = "staged"
    image_source = var.staged
    ami_name     = "${var.name}-staged"
  }

  source "bakery-userdata.guest" {
    name         = "cloud-init"
    image_source = "${path.root}/hard/cloud-init"
    ami_name     = "${var.name}-cloud-init"
  }

  source "bakery-userdata.guest" {
    name         = "runcmd"
    image_source = "${path.root}/hard/runcmd"
    ami_name     = "${var.name}-runcmd"
  }

  source "bakery-userdata.guest" {
    name         = "install"
    image_source = "${path.root}/hard/install"
    ami_name     = "${var.name}-install"
  }

  source "bakery-userdata.guest" {
    name         = "part"
    image_source = "${path.root}/hard/part"
    ami_name     = "${var.name}-part"
  }

  source "bakery-userdata.guest" {
    name         = "provisioner"
    image_source = "${path.root}/hard/provisioner"
    ami_name     = "${var.name}-provisioner"
  }

  provisioner "file" {
    only        = ["bakery-userdata.launched", "bakery-userdata.staged"]
    source      = "${path.root}/hard/files"
    destination = "/tmp"
  }

  provisioner "file" {
    only        = ["bakery-userdata.launched", "bakery-userdata.staged"]
    source      = var.secret
    destination = "/var/tmp"
  }

  provisioner "shell" {
    only             = ["bakery-userdata.launched", "bakery-userdata.staged"]
    environment_vars = ["WORDS=two words"]
    inline = [
      "test -s /var/tmp/secret/in/file && test \"$(id -un)\" = ${var.user}",
      "sudo cp -R /tmp/files /opt/hard/files",
      "echo \"provisioner $WORDS\" | sudo tee -a /opt/hard/order >/dev/null",
      "sync",
      "rm -r /var/tmp/secret",
    ]
  }

  provisioner "shell" {
    only              = ["bakery-userdata.launched", "bakery-userdata.staged"]
    inline            = ["sudo reboot"]
    expect_disconnect = true
  }

  provisioner "shell" {
    only            = ["bakery-userdata.launched", "bakery-userdata.staged"]
    execute_command = "chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }}"
    inline          = ["echo \"as $(id -un)\" >>/opt/hard/order", "cat /proc/sys/kernel/random/boot_id >>/opt/hard/boots"]
  }

  provisioner "shell" {
    only   = ["bakery-userdata.provisioner"]
    inline = ["echo in the provisioner", "exit 5"]
  }

  provisioner "shell" {
    only   = ["bakery-userdata.provisioner"]
    inline = ["echo SHOULD-NOT-RUN"]
  }
}
