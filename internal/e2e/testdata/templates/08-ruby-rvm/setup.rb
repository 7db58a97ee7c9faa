require "etc"
require "fileutils"

abort "rvm was not loaded" unless ENV["rvm_path"]
FileUtils.mkdir_p(File.join(Dir.home, "rails"))
File.write("rails/setup.txt", "#{Etc.getlogin || Etc.getpwuid.name} in #{Dir.pwd}, built by #{ENV["PACKER_BUILD_NAME"]}\n")
