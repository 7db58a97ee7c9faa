variable "region" {
  type    = string
  default = "us-east-1"
}

variable "version" {
  type    = string
  default = "0.0.0"
}

variable "db_password" {
  type      = string
  sensitive = true
  default   = "it's a \"secret\""
}

variable "ssh_username" {
  type    = string
  default = "admin"
}

variable "security_group_ids" {
  type    = list(string)
  default = []
}

source "amazon-ebs" "app" {
  ami_name              = "python-app-${var.version}"
  ami_description       = "python-app ${var.version}"
  force_deregister      = true
  force_delete_snapshot = true
  instance_type         = "t3.small"
  region                = var.region
  security_group_ids    = var.security_group_ids
  ssh_username          = var.ssh_username

  source_ami_filter {
    filters = {
      name         = "debian-12-amd64*"
      architecture = "x86_64"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 12
    volume_type           = "gp2"
    delete_on_termination = true
  }

  tags = {
    app     = "python-app"
    version = var.version
  }
}

build {
  sources = ["source.amazon-ebs.app"]

  provisioner "file" {
    source      = "app"
    destination = "/tmp/"
  }

  provisioner "file" {
    content     = templatefile("app.service.pkrtpl", { port = 8080, user = "app" })
    destination = "/tmp/app.service"
  }

  provisioner "shell" {
    env = {
      APP_VERSION = var.version
      DB_PASSWORD = var.db_password
    }
    use_env_var_file = true
    inline = [
      "set -eu",
      "sudo useradd --system --no-create-home --shell /usr/sbin/nologin app",
      "sudo mkdir -p /opt/app /etc/app",
      "sudo cp -r /tmp/app/. /opt/app/",
      "sudo install -m 0644 -o root -g root /tmp/app.service /etc/systemd/system/app.service",
      "printf 'VERSION=%s\\nPASSWORD=%s\\n' \"$APP_VERSION\" \"$DB_PASSWORD\" | sudo tee /etc/app/env >/dev/null",
      "sudo chown root:app /etc/app/env",
      "sudo chmod 640 /etc/app/env",
      "sudo systemctl enable app",
    ]
  }
}
