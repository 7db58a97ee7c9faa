// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runPython runs Python code beside the guest program's files, with a JSON value as its variable "given".
func runPython(t *testing.T, given any, code string) string {
	t.Helper()
	text, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(
		t.Context(),
		"python3",
		"-B",
		"-c",
		"from __future__ import print_function\nimport json, sys\ngiven = json.load(sys.stdin)\n"+code,
	)
	cmd.Dir = "program"
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// findingsOf returns what cloud_init.py prints for these files of a machine, one finding a line.
func findingsOf(t *testing.T, files map[string]string) string {
	t.Helper()
	printed := runPython(t, files, `import cloud_init as c
class Yaml: safe_load = staticmethod(json.loads) # not every Python of a developer has PyYAML
sys.modules["yaml"] = Yaml
c.text_of = lambda path: given.get(path, u"")
keys = c.read_keys("modules")
failed = c.check_result(keys)
c.check_log(keys, given.get("log", u""), failed)
`)
	lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
	var found strings.Builder
	for i := 0; i+3 < len(lines); i += 4 {
		found.WriteString(strings.Join(lines[i:i+4], " | ") + "\n")
	}
	return found.String()
}

const resultFile = "/run/cloud-init/result.json"

func TestFindingsOfCloudInit(t *testing.T) {
	const good = `{"v1": {"errors": []}}`
	const at = "2026-11-29 12:51:28,490 - "
	const modules = "write_files write_files write_files_deferred\npackages package_update_upgrade_install\n" +
		"bootcmd bootcmd\nubuntu_advantage ubuntu_advantage ubuntu_pro\n"
	const parts = at + "handlers.py[DEBUG]: start: init-network/consume-user-data: reading and applying user-data\n" +
		at + "__init__.py[DEBUG]: Calling handler CloudConfigPartHandler: [['text/cloud-config']] (__begin__, None, " +
		"3) " +
		"with frequency once-per-instance\n" +
		at + "__init__.py[DEBUG]: Calling handler CloudConfigPartHandler: [['text/cloud-config']] " +
		"(text/cloud-config, " +
		"a b.cfg, 3) with frequency once-per-instance\n"
	const writeFiles = at + "modules.py[DEBUG]: Running module write-files (<module " +
		"'cloudinit.config.cc_write_files' " +
		"from 'x'>) with frequency once-per-instance\n" +
		at + "handlers.py[DEBUG]: start: init-network/config-write-files: running config-write-files\n"
	const growpart = at + "stages.py[DEBUG]: Running module growpart (<module 'x'>) with frequency always\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing": {map[string]string{"log": parts + writeFiles + growpart}, ""},
		"an error of a module that is configured": {
			map[string]string{resultFile: `{"v1": {"errors": ["('package-update-upgrade-install', ` +
				`ProcessExecutionError('x\\nExit code: 100'))"]}}`},
			"packages | 100 | cloud-init package_update_upgrade_install | ('package-update-upgrade-install', " +
				"ProcessExecutionError('x\\nExit code: 100'))\n",
		},
		"a module with its name after 24.1": {
			map[string]string{resultFile: `{"v1": {"errors": ["('ubuntu_pro', RuntimeError('x'))"]}}`},
			"ubuntu_advantage | 1 | cloud-init ubuntu_pro | ('ubuntu_pro', RuntimeError('x'))\n",
		},
		"an error of the base image": {
			map[string]string{resultFile: `{"v1": {"errors": ["('install-hotplug', E())"]}}`},
			"- | 1 | cloud-init install_hotplug | ('install-hotplug', E())\n",
		},
		"user data that was not read at all": {
			map[string]string{resultFile: `{"v1": {"errors": ["Consuming user data failed!"]}}`},
			"parts | 1 | cloud-init module | Consuming user data failed!\n",
		},
		"the base image's error of opaque user data": {
			map[string]string{"modules": "*\n", "/var/lib/cloud/instance/cloud-config.txt": "{}",
				resultFile: `{"v1": {"errors": ["('growpart', E())"]}}`},
			"- | 1 | cloud-init growpart | ('growpart', E())\n",
		},
		"an error of opaque user data": {
			map[string]string{"modules": "*\n",
				"/var/lib/cloud/instance/cloud-config.txt": `{"ntp": {}, "bootcmd": ["x"]}`,
				resultFile: `{"v1": {"errors": ["('scripts-user', E())", "('ntp', E())", "lost"]}}`},
			"_ | 1 | cloud-init scripts_user | ('scripts-user', E())\nntp | 1 | cloud-init ntp | ('ntp', E())\n" +
				"_ | 1 | cloud-init module | lost\n- | 0 | bootcmd | cloud-init tells only whether its last command " +
				"failed: begin it with set -e\n",
		},
		"a failed command of bootcmd": {
			map[string]string{
				resultFile:                   `{"v1": {"errors": ["('bootcmd', E('Exit code: 4'))"]}}`,
				"/run/bakery-bootcmd.failed": "4 10_x.cfg bootcmd[0]\n",
				"/run/bakery-bootcmd":        "1 10_x.cfg bootcmd[0]\n",
			},
			"bootcmd | 4 | 10_x.cfg bootcmd[0] | \n",
		},
		"a command of bootcmd that ended the shell": {
			map[string]string{"/run/bakery-bootcmd": "2 a b.cfg bootcmd[0]\n"},
			"bootcmd | 0 | a b.cfg bootcmd[0] | it ended the shell: 2 commands of bootcmd after it did not run\n",
		},
		"the last command of bootcmd that ended the shell": {map[string]string{"/run/bakery-bootcmd": "0 a.cfg " +
			"bootcmd[0]\n"},
			""},
		"a warning of a module that is configured": {
			map[string]string{"log": writeFiles + at + "util.py[WARNING]: Undecodable permissions\n"},
			"write_files | 1 | cloud-init write_files | Undecodable permissions\n",
		},
		"a warning with what was raised": {
			map[string]string{"log": writeFiles + at + "util.py[WARNING]: Applying SSH credentials failed!\n" + at +
				"util.py[DEBUG]: Applying SSH credentials failed!\nTraceback (most recent call last):\n" +
				"  File \"x\", line 1, in f\n    g(\nUnicodeDecodeError: no codec\n" + at + "util.py[DEBUG]: next\n"},
			"write_files | 1 | cloud-init write_files | Applying SSH credentials failed!: UnicodeDecodeError: no " +
				"codec\n",
		},
		"a warning of a module that is not": {
			map[string]string{"log": writeFiles + growpart + at + "util.py[WARNING]: no room\n"}, "",
		},
		"a warning after the module": {
			map[string]string{"log": writeFiles + at +
				"handlers.py[DEBUG]: finish: init-network/config-write-files: SUCCESS\n" +
				at + "util.py[WARNING]: of nobody\n"}, "",
		},
		"what is only deprecated or against the schema": {
			map[string]string{"log": writeFiles + at + "cc_x.py[WARNING]: DEPRECATION: key x\n" + at +
				"schema.py[WARNING]: Invalid config:\nx: y\n" + at +
				"cc_x.py[WARNING]: Rebooting after upgrade or install per /var/run/reboot-required\n" + at +
				"x.py[DEPRECATED]: x\n"}, "",
		},
		"a broken part, read twice": {
			map[string]string{"log": at + "util.py[WARNING]: Failed loading yaml blob. Invalid\n" + parts + at +
				"util.py[WARNING]: Failed loading yaml blob. Invalid\n  more\n" + at +
				"util.py[WARNING]: Failed loading yaml blob. Invalid\n"},
			"parts | 1 | user data part a b.cfg | Failed loading yaml blob. Invalid\n",
		},
		"a part that cannot be fetched": {
			map[string]string{"log": at + "user_data.py[WARNING]: Fetching from http://x resulted in y\n"},
			"parts | 1 | user data part | Fetching from http://x resulted in y\n",
		},
		"a part of an unknown type, without context": {
			map[string]string{"log": at + "__init__.py[WARNING]: Unhandled unknown content-type (x/y) userdata: " +
				"'h...'\n"},
			"parts | 1 | user data part | Unhandled unknown content-type (x/y) userdata: 'h...'\n",
		},
		"a boothook that cloud-init ran": {
			map[string]string{"log": parts + at + "util.py[WARNING]: Boothooks script /x/part-002 execution error\n"},
			"boothooks | 1 | user data part a b.cfg | Boothooks script /x/part-002 execution error\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{resultFile: good, "modules": modules}
			maps.Copy(files, c.files)
			if diff := cmp.Diff(c.want, findingsOf(t, files)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// What cloud-init logged at earlier boots, of which the base image was made, does not count.
func TestOnlyTheLogOfTheBootCounts(t *testing.T) {
	const before = "x running 'init-local' at 1\nold warning\n"
	const early, late = "Cloud-init v. 22 running 'init-local' at 2\nearly\n", "late\n"
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, []byte(before+early+late), 0o600); err != nil {
		t.Fatal(err)
	}
	given := map[string]any{"log": log, "size": len(before + early)}
	const code = "import cloud_init as c\nc.LOG = given['log']\nprint(c.read_log(given['size'], True), end='')\n" +
		"print(c.read_log(given['size'], False), end='')\nc.LOG = '/no/such'\nprint(c.read_log(7, True), end='')\n"
	if got, want := runPython(t, given, code), strings.TrimPrefix(early, "Cloud-init v. 22")+late+late; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// moduleCheck is what a machine's cloud-init knows.
type moduleCheck struct {
	Listed map[string]string
	Source string
	Files  []string
	Not    string
	Keys   string
}

func TestKeysThatNothingReads(t *testing.T) {
	const code = `import cloud_init as c, cloud_keys
class M(cloud_keys.Modules):
    def __init__(self):
        self.listed, self.source = given["Listed"] or {}, given["Source"]
        self.cfg = {"manage_resolv_conf": False, "resolv_conf": {"a": 1}}
    def has(self, module): return module in (given["Files"] or [])
    def runs(self, module):
        if module not in self.listed: return "not listed " + module
        if module == given["Not"]: return "not for this distribution"
    def check_nested(self, paths): pass
c.text_of = lambda path: given["Keys"]
M().check(c.read_keys(""), [])
`
	for name, c := range map[string]struct {
		check moduleCheck
		want  string // the key and why
	}{
		"a key of a listed module": {moduleCheck{map[string]string{"ntp": "ntp"}, `"ntp"`, []string{"ntp"}, "",
			"ntp ntp"}, ""},
		"a module that is not listed": {moduleCheck{nil, `'ntp'`, []string{"ntp"}, "", "ntp ntp"},
			"ntp: not listed ntp"},
		"a module that does not run": {moduleCheck{map[string]string{"apk_configure": "apk-configure"},
			`"apk_repos"`, nil,
			"apk_configure", "apk_repos apk_configure"}, "apk_repos: not for this"},
		"a module with another name since": {moduleCheck{map[string]string{"ubuntu_pro": "ubuntu-advantage"},
			`"ubuntu_advantage"`, nil, "", "ubuntu_advantage ubuntu_advantage ubuntu_pro"}, ""},
		"a key of a later version": {moduleCheck{map[string]string{"ubuntu_pro": "ubuntu-advantage"},
			`"ubuntu_advantage"`, nil, "", "ubuntu_pro ubuntu_advantage ubuntu_pro"}, "ubuntu_pro: this version"},
		"a key that is false": {moduleCheck{nil, `"resolv_conf"`, []string{"resolv_conf"}, "",
			"manage_resolv_conf resolv_conf"}, ""},
		"a key of the distribution's own": {moduleCheck{map[string]string{"x": "x"}, `'repo_upgrade'`, nil, "",
			"repo_upgrade repo_upgrade"}, ""},
		"an unknown key": {moduleCheck{map[string]string{"x": "x"}, `'y'`, nil, "", "pakages pakages"},
			"pakages: this version"},
		"no source":            {moduleCheck{map[string]string{"ntp": "ntp"}, "", nil, "", "ntp ntp"}, ""},
		"a key without module": {moduleCheck{nil, `'y'`, nil, "", "output\n_ _\nscripts_user scripts_user"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Split(runPython(t, c.check, code), "\n")
			want := []string{""}
			if key, why, ok := strings.Cut(c.want, ": "); ok {
				want = []string{
					key + " unknown_keys",
					"1",
					"cloud-config " + key,
					"cloud-init ignored the key: " + why,
					"",
				}
				if len(got) == 5 && strings.HasPrefix(got[3], want[3]) {
					got[3] = want[3]
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestAStepAsksForAReboot(t *testing.T) {
	for text, want := range map[string]bool{
		"reboot":                                 true,
		"sudo /sbin/reboot -f":                   true,
		"apt-get -y upgrade && shutdown -r now":  true,
		"os.system('reboot')":                    true,
		"subprocess.run([\"init\", \"6\"])":      true,
		"telinit 6":                              true,
		"systemctl --no-block reboot":            true,
		"systemctl start reboot.target":          true,
		"systemctl kexec; systemctl soft-reboot": true,
		"cloud-init clean --reboot":              true,
		"busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager Reboot b 0": true,
		"echo now; reboot":                           true,
		"sleep 60":                                   false,
		"# reboot":                                   false,
		"sleep 60 # and no reboot":                   false,
		"echo 'reboot later'":                        false,
		"ls /var/run/reboot-required":                false,
		"sed -i s/a/b/ unattended-upgrades-Reboot":   false,
		"systemctl restart nginx":                    false,
		"init_6 kexecute rebooted myshutdown":        false,
		"cp no-reboot.conf /etc/":                    false,
		"echo \" # \"; reboot # 'x'":                 true,
		"printf x\n  # telinit 6\nlogger 'shutdown'": false,
	} {
		got := runPython(t, text, "import asked_reboot as a\nprint(a.asks(given.encode(), b'/', 0), end='')")
		if got == "True" != want {
			t.Errorf("%q asks: %s", text, got)
		}
	}
}

// TestAProcessAsksForAReboot finds it in the scripts that the processes of a session execute, and in those that these
// scripts name.
func TestAProcessAsksForAReboot(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"asks.sh": "#!/bin/sh\nfalse && reboot\n", "names.sh": "#!/bin/sh\nsleep 30\n./asks.sh\n",
		"waits.sh": "#!/bin/sh\nsleep 30\n", "child.sh": "#!/bin/sh\nsh ./waits.sh\ncat asks.conf\n",
		"asks.conf": "reboot\n",
		"deep.sh":   "#!/bin/sh\n(sh ./names.sh)\nexit\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for script, want := range map[string]bool{"names.sh": true, "waits.sh": false, "child.sh": false, "deep.sh": true} {
		t.Run(script, func(t *testing.T) {
			step := exec.CommandContext(t.Context(), "sh", "./"+script)
			step.Dir, step.SysProcAttr = dir, &syscall.SysProcAttr{Setsid: true}
			if err := step.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "its last child does not run", func() bool { return sleeps(t, step.Process.Pid) })
			err := exec.CommandContext(t.Context(), "python3", "-B", "program/asked_reboot.py",
				strconv.Itoa(step.Process.Pid),
				filepath.Join(dir, "nothing")).
				Run()
			_ = syscall.Kill(-step.Process.Pid, syscall.SIGKILL)
			_ = step.Wait()
			if exit, failed := errors.AsType[*exec.ExitError](
				err,
			); failed && exit.ExitCode() != 1 ||
				err == nil != want {
				t.Errorf("asked: %v, want %v", err, want)
			}
		})
	}
}

// sleeps reports whether a process of a session is sleep, which is the last that each of these scripts starts.
func sleeps(t *testing.T, session int) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		stat, _ := os.ReadFile(file) // one that has ended says nothing
		_, rest, _ := strings.Cut(string(stat), " (sleep) ")
		fields := strings.Fields(rest) // state, parent, group, session: proc_pid_stat(5)
		return len(fields) > 3 && fields[3] == strconv.Itoa(session)
	})
}

func TestCheckIgnored(t *testing.T) {
	schema, err := os.ReadFile("../cloudconfig/schema-cloud-config-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var known struct{ Properties map[string]any }
	if err := json.Unmarshal(schema, &known); err != nil || len(known.Properties) < 50 {
		t.Fatalf("%d keys, %v", len(known.Properties), err)
	}
	for key := range known.Properties {
		if key != "runcmd" && CheckIgnored([]string{key}) != nil {
			t.Errorf("%s is a key of cloud-init, and refused", key)
		}
	}
	if problems := CheckIgnored([]string{"boothooks", "parts", "unknown_keys"}); problems != nil {
		t.Error(problems)
	}
	for name, want := range map[string]string{
		"bootcmds": `did you mean "bootcmd"`, "runcmd": "|| true", "_": "is none of", "a b": "is none of",
		"": "is none of",
	} {
		if problems := CheckIgnored(
			[]string{name},
		); len(problems) != 1 ||
			!strings.Contains(problems[0].Error(), want) {
			t.Errorf("%q: %v", name, problems)
		}
	}
}
