holds /etc/role runner
holds /etc/gitlab-runner/config.toml 'concurrent = 4'
holds /etc/gitlab-runner/version 17.5.0
is /etc/gitlab-runner/hooks/pre-build -rwxr-xr-x root
is /etc/gitlab-runner/hooks drwxr-xr-x root
is /var/lib/gitlab-runner drwxr-xr-x gitlab-runner
described '"Name": "gitlab-runner-17-5-0-' '"Key": "Version", "Value": "17.5.0"'
