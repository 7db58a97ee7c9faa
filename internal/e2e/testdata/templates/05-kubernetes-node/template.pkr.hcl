packer {
  required_plugins {
    amazon = {
      version = "~> 1.3"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "aws_region" { default = "us-east-1" }
variable "source_ami_id" { type = string }
variable "subnet_id" { default = null }
variable "ssh_username" { default = "admin" }
variable "kubernetes_version" { default = "1.31.2" }
variable "volume_size" {
  type    = number
  default = 20
}
variable "ami_users" {
  type    = list(string)
  default = ["123456789012", "210987654321"]
}
variable "working_dir" { default = "/var/tmp/worker" }

locals {
  name    = "k8s-node-${trimsuffix(var.kubernetes_version, ".2")}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  minor   = join(".", slice(split(".", var.kubernetes_version), 0, 2))
  env     = { KUBERNETES_VERSION = var.kubernetes_version, WORKING_DIR = var.working_dir }
  env_kv  = [for k, v in local.env : "${k}=${v}"]
  is_root = "test \"$(id -u)\" = 0"
}

source "amazon-ebs" "node" {
  ami_name        = local.name
  ami_description = "Kubernetes ${local.minor} worker node"
  ami_users       = var.ami_users
  instance_type   = "m5.large"
  region          = var.aws_region
  source_ami      = var.source_ami_id
  subnet_id       = var.subnet_id
  ssh_username    = var.ssh_username
  ssh_pty         = true

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_size
    delete_on_termination = true
  }
  ami_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_size
    delete_on_termination = true
  }

  aws_polling {
    delay_seconds = 30
    max_attempts  = 90
  }

  run_volume_tags = {
    Name = local.name
  }
  tags = merge({ created_by = "packer" }, { kubernetes = "${local.minor}/containerd" })
}

build {
  sources = ["source.amazon-ebs.node"]

  provisioner "shell" {
    inline = ["mkdir -p ${var.working_dir}/log-collector"]
  }

  provisioner "file" {
    source      = "${path.root}/files/"
    destination = var.working_dir
  }

  provisioner "shell" {
    inline = [
      "sudo chmod -R a+x ${var.working_dir}/bin/",
      "sudo mv ${var.working_dir}/bin/* /usr/local/bin/",
    ]
  }

  provisioner "shell" {
    environment_vars  = local.env_kv
    script            = "${path.root}/scripts/upgrade-kernel.sh"
    inline_shebang    = "/bin/sh -e"
    expect_disconnect = true
    pause_after       = "1s"
  }

  provisioner "shell" {
    pause_before        = "1s"
    start_retry_timeout = "10m"
    environment_vars    = local.env_kv
    execute_command     = "{{.Vars}} sudo -S -E bash '{{.Path}}'"
    scripts = [
      "${path.root}/scripts/install-worker.sh",
      "${path.root}/scripts/validate.sh",
    ]
  }

  post-processor "manifest" {
    output     = "manifest.json"
    strip_path = true
    custom_data = {
      kubernetes_version = var.kubernetes_version
    }
  }
}
