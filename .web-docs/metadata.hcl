# For HashiCorp's integrations site.
integration {
  name        = "Bakery"
  description = "Bakes Amazon machine images through cloud-init user data alone: no SSH, no key pair, no inbound rule."
  identifier  = "packer/amibakery/bakery"
  flags       = ["hcp-ready"]
  docs {
    process_docs    = true
    readme_location = "./README.md"
    external_url    = "https://github.com/amibakery/packer-plugin-bakery"
  }
  license {
    type = "MPL-2.0"
    url  = "https://github.com/amibakery/packer-plugin-bakery/blob/main/LICENSE"
  }
  component {
    type = "builder"
    name = "bakery-userdata"
    slug = "userdata"
  }
  component {
    type = "data-source"
    name = "bakery-image-source"
    slug = "image-source"
  }
  component {
    type = "provisioner"
    name = "bakery-image-source"
    slug = "image-source"
  }
}
