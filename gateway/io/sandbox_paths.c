/*
 * Landlock: which files there are for a process. The ABI is asked at run time; an older kernel
 * forbids what it knows, and what it does not know is reported. Without network nothing may be
 * bound or connected either, besides what seccomp says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/sandbox_priv.h"

/* From the kernel's interface, not its header: that of Debian 12 is older than many kernels. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,     /* ABI 2: rename between directories */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	FS_ALL_1 = (1 << 13) - 1,
	NET_ALL = 3,   /* ABI 4: bind and connect of TCP */
	SCOPE_ALL = 3, /* ABI 6: abstract unix sockets and signals of others */
};

enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL = 5, ABI_SCOPE = 6 };
enum { CREATE_VERSION = 1, RULE_PATH_BENEATH = 1 };

/* A kernel that knows less takes the larger struct as long as the rest is zero. */
struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_rule {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

static const uint64_t fs_of_files =
	FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
static const uint64_t fs_to_write = FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR |
				    FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_FIFO |
				    FS_MAKE_SYM | FS_REFER | FS_TRUNCATE;

int
sandbox_paths_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	return abi > 0 ? (int)abi : 0;
}

static struct ruleset
ruleset_for(int abi, bool network)
{
	struct ruleset r = {.fs = FS_ALL_1};
	if (abi >= ABI_REFER)
		r.fs |= FS_REFER;
	if (abi >= ABI_TRUNCATE)
		r.fs |= FS_TRUNCATE;
	if (abi >= ABI_IOCTL)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= ABI_NET && !network)
		r.net = NET_ALL;
	if (abi >= ABI_SCOPE)
		r.scoped = SCOPE_ALL;
	return r;
}

static int
add_path(int ruleset, const char *path, uint64_t rights, struct err *err)
{
	struct stat st;
	struct path_rule rule = {.fd = open(path, O_PATH | O_CLOEXEC)};
	if (rule.fd < 0 || fstat(rule.fd, &st) < 0) {
		err_sys(err, "sandbox: %s", path);
		if (rule.fd >= 0)
			close(rule.fd);
		return -1;
	}
	rule.allowed = S_ISDIR(st.st_mode) ? rights : rights & fs_of_files;
	long result = syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0);
	if (result < 0)
		err_sys(err, "sandbox: allow %s", path);
	close(rule.fd);
	return result < 0 ? -1 : 0;
}

static int
add_paths(int ruleset, const char *const *paths, uint64_t rights, struct err *err)
{
	for (; paths != NULL && *paths != NULL; paths++)
		if (add_path(ruleset, *paths, rights, err) < 0)
			return -1;
	return 0;
}

static int
add_all(int ruleset, const struct sandbox_spec *spec, uint64_t known, struct err *err)
{
	static const char *const of_sanitizers[] = {"/proc", NULL};
	uint64_t to_read = FS_READ_FILE | FS_READ_DIR;
	if ((spec->calls & SANDBOX_EXEC) != 0)
		to_read |= FS_EXECUTE;
	if (add_paths(ruleset, spec->readable, to_read & known, err) < 0 ||
		add_paths(ruleset, spec->writable, fs_to_write & known, err) < 0)
		return -1;
	return SANDBOX_SANITIZED != 0 ? add_paths(ruleset, of_sanitizers, to_read & known, err)
				      : 0;
}

int
sandbox_paths_enter(
	const struct sandbox_spec *spec, struct sandbox_missing *missing, struct err *err)
{
	int abi = sandbox_paths_abi();
	if (abi == 0) {
		sandbox_lacks(
			missing, "Landlock is not in this kernel: files are not confined");
		return 0;
	}
	if (abi < ABI_TRUNCATE)
		sandbox_lacks(missing, "Landlock of this kernel does not know truncate");
	struct ruleset r = ruleset_for(abi, (spec->calls & SANDBOX_NETWORK) != 0);
	int fd = (int)syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
	if (fd < 0)
		return err_sys(err, "sandbox: Landlock");
	int result = add_all(fd, spec, r.fs, err);
	if (result == 0 && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		result = err_sys(err, "sandbox: enter Landlock");
	close(fd);
	return result;
}
