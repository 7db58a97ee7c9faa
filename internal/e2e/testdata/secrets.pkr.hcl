# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# A secret in every place of a template that one can enter by. TestSecrets looks for all of them afterwards.

variable "planted" {
  type      = map(string)
  sensitive = true
}

variable "name" {
  type = string
}

variable "dir" {
  type = string
}

variable "source_ami" {
  type = string
}

variable "fails" {
  type    = string
  default = "true"
}

variable "wipe" {
  type    = bool
  default = false
}

# Whether a program of the template's own leaves a secret in blocks that it has freed.
variable "frees" {
  type    = bool
  default = false
}

variable "timeout" {
  type    = string
  default = "5m"
}

data "bakery-image-source" "planted" {
  source = "${var.dir}/image"
  target = "${var.dir}/target"
}

locals {
  bucket = "s3://bakery-lab/secrets/${var.name}"
}

source "bakery-userdata" "bundle" {
  bundle           = data.bakery-image-source.planted.bundle
  profile          = "planted"
  source_ami       = var.source_ami
  ami_name         = "${var.name}-bundle"
  instance_timeout = var.timeout
  output_file      = "${var.dir}/output"
  log_file         = "${var.dir}/log"
  wipe_free_space  = var.wipe
  sensitive_values = values(var.planted)

  staging {
    url = local.bucket
  }
}

source "bakery-userdata" "text" {
  profile          = "planted"
  source_ami       = var.source_ami
  ami_name         = "${var.name}-text"
  instance_timeout = var.timeout
  wipe_free_space  = var.wipe
  sensitive_values = values(var.planted)
  live_log         = "console"
  user_data        = <<-END
    #!/bin/sh
    test -n "${var.planted["user_data"]}" && sync
  END

  staging {
    url = local.bucket
  }
}

build {
  sources = ["source.bakery-userdata.bundle", "source.bakery-userdata.text"]

  # Another upload has the same destination.
  provisioner "file" {
    content     = var.planted["overwritten"]
    destination = "/tmp/planted"
  }

  provisioner "shell" {
    environment_vars = ["SECRET=${var.planted["environment_vars"]}"]
    inline           = ["test -n \"$SECRET\"", "test -n '${var.planted["inline"]}'", "sync"]
  }

  provisioner "shell" {
    environment_vars = ["SECRET=${var.planted["env_var_file"]}"]
    use_env_var_file = true
    inline           = ["test -n \"$SECRET\"", "sync"]
  }

  provisioner "file" {
    content     = var.planted["content"]
    destination = "/tmp/planted"
  }

  provisioner "file" {
    source      = "${var.dir}/uploaded"
    destination = "/opt"
  }

  provisioner "shell-local" {
    environment_vars = ["SECRET=${var.planted["shell_local"]}"]
    inline           = ["test -n \"$SECRET\""]
  }

  provisioner "shell" {
    inline = ["echo 'it prints ${var.planted["printed"]}, as no script should'", var.fails]
  }

  provisioner "shell" {
    inline = [var.frees ? "echo '${var.planted["freed"]}' >/var/freed && sync && rm /var/freed" : "true"]
  }

  # What was uploaded is on the disk by then, and is removed, or left to be cleaned up: where nobody sees it, and locked.
  provisioner "shell" {
    execute_command = "sudo sh -c '{{ .Vars }} {{ .Path }}'"
    inline = [
      "sync", "test -s /tmp/planted", "rm -r /opt/uploaded", "chattr +i /tmp/planted",
      "mount -t tmpfs none /tmp", "mount -t tmpfs none /var/log"
    ]
  }

  post-processor "manifest" {
    output = "${var.dir}/manifest.json"
  }
}
