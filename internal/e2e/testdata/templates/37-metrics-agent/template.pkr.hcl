packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "source_ami" { type = string }
variable "ssh_username" { default = "ec2-user" }
variable "ami_name" { default = "metrics-agent-{{timestamp}}" }

locals {
  namespaces = ["CWAgent", "Host/Disk"]
  config = {
    agent   = { metrics_collection_interval = 60, run_as_user = "metrics" }
    metrics = { namespace = local.namespaces, append_dimensions = { InstanceId = "$${aws:InstanceId}" } }
  }
}

source "amazon-ebs" "agent" {
  ami_name      = var.ami_name
  instance_type = "t3.micro"
  region        = "us-east-1"
  source_ami    = var.source_ami
  ssh_username  = var.ssh_username
}

build {
  sources = ["source.amazon-ebs.agent"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || [ $? -eq 2 ]"]
  }

  provisioner "file" {
    content     = jsonencode(local.config)
    destination = "/tmp/config.json"
  }

  provisioner "file" {
    source      = "agent"
    destination = "~/agent"
  }

  provisioner "shell" {
    env = {
      AGENT_HOME = "/opt/metrics-agent"
      QUOTED     = "it's a \"test\" of $HOME"
    }
    use_env_var_file = true
    execute_command  = "chmod +x {{ .Path }}; . {{ .EnvVarFile }} && sudo -E {{ .Path }}"
    inline = [
      "set -eu",
      "getent passwd metrics >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin metrics",
      "install -d -m 0755 \"$AGENT_HOME/bin\" \"$AGENT_HOME/etc\"",
      "src=$(getent passwd ${var.ssh_username} | cut -d : -f 6)/agent",
      "install -m 0755 \"$src/bin/agent\" \"$AGENT_HOME/bin/agent\"",
      "install -m 0640 -g metrics /tmp/config.json \"$AGENT_HOME/etc/config.json\"",
      "install -m 0644 \"$src/systemd/metrics-agent.service\" \"$src/systemd/metrics-agent.timer\" /etc/systemd/system/",
      "printf '%s\\n' \"$QUOTED\" > \"$AGENT_HOME/etc/quoted\"",
      "systemctl daemon-reload",
      "systemctl enable metrics-agent.timer",
      "rm -rf \"$src\" /tmp/config.json",
    ]
  }
}
