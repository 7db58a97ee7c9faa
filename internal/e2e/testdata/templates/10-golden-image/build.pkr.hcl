build {
  sources = [
    "source.amazon-ebs.bookworm",
    "source.amazon-ebs.minimal",
  ]

  provisioner "shell" {
    execute_command  = "{{ .Vars }} sudo -E bash {{ .Path }}"
    script           = "cis.sh"
    environment_vars = ["CIS_LEVEL=1"]
    override = {
      minimal = {
        environment_vars = ["CIS_LEVEL=2"]
      }
    }
  }

  provisioner "shell" {
    only   = ["amazon-ebs.bookworm"]
    inline = ["echo full | sudo tee /etc/golden-flavour"]
  }

  provisioner "file" {
    except      = ["amazon-ebs.bookworm"]
    content     = "minimal\n"
    destination = "/tmp/flavour"
  }

  provisioner "shell" {
    except = ["amazon-ebs.bookworm"]
    inline = ["sudo cp /tmp/flavour /etc/golden-flavour"]
  }

  post-processor "manifest" {
    output = "golden.json"
  }
}
