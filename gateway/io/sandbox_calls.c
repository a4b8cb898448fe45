/*
 * The system calls that a sandboxed process may make, by group. What stands nowhere here
 * returns EPERM; what only an attacker would try ends the process. Arguments are looked at
 * where a call would otherwise be too much: socket families, open for writing, memory that
 * becomes code.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/sandbox_priv.h"

#define CALL(name) SCMP_SYS(name)

static const int calls_base[] = {
	CALL(brk),
	CALL(clock_getres),
	CALL(clock_gettime),
	CALL(clock_nanosleep),
	CALL(close),
	CALL(close_range),
	CALL(dup),
	CALL(dup2),
	CALL(dup3),
	CALL(epoll_create1),
	CALL(epoll_ctl),
	CALL(epoll_pwait),
	CALL(epoll_pwait2),
	CALL(epoll_wait),
	CALL(eventfd2),
	CALL(exit),
	CALL(exit_group),
	CALL(fcntl),
	CALL(fstat),
	CALL(fstatfs),
	CALL(ftruncate),
	CALL(futex),
	CALL(getegid),
	CALL(geteuid),
	CALL(getgid),
	CALL(getpid),
	CALL(getppid),
	CALL(getrandom),
	CALL(getrlimit),
	CALL(getrusage),
	CALL(gettid),
	CALL(gettimeofday),
	CALL(getuid),
	CALL(lseek),
	CALL(madvise),
	CALL(membarrier),
	CALL(memfd_create),
	CALL(mremap),
	CALL(munmap),
	CALL(nanosleep),
	CALL(newfstatat),
	CALL(pipe),
	CALL(pipe2),
	CALL(poll),
	CALL(ppoll),
	CALL(pread64),
	CALL(preadv),
	CALL(pselect6),
	CALL(pwrite64),
	CALL(pwritev),
	CALL(read),
	CALL(readv),
	CALL(restart_syscall),
	CALL(rseq),
	CALL(rt_sigaction),
	CALL(rt_sigpending),
	CALL(rt_sigprocmask),
	CALL(rt_sigreturn),
	CALL(rt_sigtimedwait),
	CALL(sched_getaffinity),
	CALL(sched_yield),
	CALL(select),
	CALL(set_robust_list),
	CALL(set_tid_address),
	CALL(sigaltstack),
	CALL(signalfd4),
	CALL(sysinfo),
	CALL(time),
	CALL(timerfd_create),
	CALL(timerfd_settime),
	CALL(umask),
	CALL(uname),
	CALL(write),
	CALL(writev),
};

static const int calls_channel[] = {
	CALL(getpeername),
	CALL(getsockname),
	CALL(getsockopt),
	CALL(recvfrom),
	CALL(recvmmsg),
	CALL(recvmsg),
	CALL(sendmmsg),
	CALL(sendmsg),
	CALL(sendto),
	CALL(setsockopt),
	CALL(shutdown),
};

static const int calls_accept[] = {
	CALL(accept),
	CALL(accept4),
	CALL(socketpair),
};

static const int calls_network[] = {
	CALL(bind),
	CALL(connect),
	CALL(listen),
};

static const int calls_read[] = {
	CALL(access),
	CALL(faccessat),
	CALL(faccessat2),
	CALL(fadvise64),
	CALL(getcwd),
	CALL(getdents64),
	CALL(lstat),
	CALL(readlink),
	CALL(readlinkat),
	CALL(stat),
	CALL(statfs),
	CALL(statx),
};

static const int calls_write[] = {
	CALL(chmod),
	CALL(copy_file_range),
	CALL(creat),
	CALL(fallocate),
	CALL(fchmod),
	CALL(fchmodat),
	CALL(fdatasync),
	CALL(flock),
	CALL(fsync),
	CALL(link),
	CALL(linkat),
	CALL(mkdir),
	CALL(mkdirat),
	CALL(open),
	CALL(openat),
	CALL(rename),
	CALL(renameat),
	CALL(renameat2),
	CALL(rmdir),
	CALL(sendfile),
	CALL(symlink),
	CALL(truncate),
	CALL(unlink),
	CALL(unlinkat),
	CALL(utimensat),
};

static const int calls_threads[] = {
	CALL(get_robust_list),
	CALL(sched_getparam),
	CALL(sched_getscheduler),
};

static const int calls_code[] = {
	CALL(mmap),
	CALL(mprotect),
};

static const int calls_exec[] = {
	CALL(clone),
	CALL(execve),
	CALL(execveat),
	CALL(fork),
	CALL(kill),
	CALL(vfork),
	CALL(wait4),
	CALL(waitid),
	CALL(arch_prctl),
	CALL(prlimit64),
	CALL(mprotect),
	CALL(mmap),
};

/* Sanitizer builds besides: LeakSanitizer stops all threads by ptrace from a clone and reads
 * /proc, reports read the maps, and shadow memory is mapped as they please. */
static const int calls_sanitizer[] = {
	CALL(clone),
	CALL(getdents), /* LeakSanitizer makes this call itself, not through the C library */
	CALL(getdents64),
	CALL(kill),
	CALL(mmap),
	CALL(mprotect),
	CALL(prctl),
	CALL(prlimit64),
	CALL(ptrace),
	CALL(readlink),
	CALL(readlinkat),
	CALL(sched_setaffinity),
	CALL(tgkill),
	CALL(wait4),
};

/* Nothing of ours and no library asks for these: whoever does has broken in. */
static const int calls_hostile[] = {
	CALL(add_key),
	CALL(bpf),
	CALL(delete_module),
	CALL(finit_module),
	CALL(init_module),
	CALL(kexec_file_load),
	CALL(kexec_load),
	CALL(keyctl),
	CALL(mount),
	CALL(open_by_handle_at),
	CALL(perf_event_open),
	CALL(pivot_root),
	CALL(process_vm_readv),
	CALL(process_vm_writev),
	CALL(reboot),
	CALL(request_key),
	CALL(setns),
	CALL(swapoff),
	CALL(swapon),
	CALL(umount2),
	CALL(unshare),
	CALL(userfaultfd),
};

static int
add_calls(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	int result = 0;
	for (size_t i = 0; i < n && result >= 0; i++)
		result = seccomp_rule_add(ctx, action, calls[i], 0);
	return result;
}

#define ADD(table) add_calls(ctx, SCMP_ACT_ALLOW, table, sizeof(table) / sizeof(table[0]))

static struct scmp_arg_cmp
arg_is(unsigned arg, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp
arg_masked(unsigned arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){
		.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

static int
add_one(scmp_filter_ctx ctx, int call, struct scmp_arg_cmp cmp)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 1, cmp);
}

/* Its own name, and itself for abort(); limits may be read; the little that libraries ask of
 * ioctl. */
static int
add_base_arguments(scmp_filter_ctx ctx)
{
	int result = 0;
	result |= add_one(ctx, CALL(prctl), arg_is(0, PR_SET_NAME));
	result |= add_one(ctx, CALL(prctl), arg_is(0, PR_GET_NAME));
	result |= add_one(ctx, CALL(tgkill), arg_is(0, (scmp_datum_t)getpid()));
	result |= add_one(ctx, CALL(prlimit64), arg_is(2, 0));
	result |= add_one(ctx, CALL(ioctl), arg_is(1, FIONREAD));
	result |= add_one(ctx, CALL(ioctl), arg_is(1, FIONBIO));
	return result;
}

static int
add_memory(scmp_filter_ctx ctx, bool code)
{
	if (code)
		return ADD(calls_code);
	int result = add_one(ctx, CALL(mmap), arg_masked(2, PROT_EXEC, 0));
	return result | add_one(ctx, CALL(mprotect), arg_masked(2, PROT_EXEC, 0));
}

static int
add_sockets(scmp_filter_ctx ctx)
{
	static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
	int result = 0;
	for (size_t i = 0; i < 6; i++)
		result |= seccomp_rule_add(ctx, SCMP_ACT_ALLOW, CALL(socket), 2,
			arg_is(0, (scmp_datum_t)families[i / 2]),
			arg_masked(1, 0xf, (scmp_datum_t)types[i % 2]));
	return result;
}

static int
add_open_to_read(scmp_filter_ctx ctx)
{
	const scmp_datum_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
	int result = add_one(ctx, CALL(open), arg_masked(1, writes, 0));
	return result | add_one(ctx, CALL(openat), arg_masked(2, writes, 0));
}

/* clone3 hides its flags behind a pointer: glibc falls back to clone where it is not there. */
static int
add_threads(scmp_filter_ctx ctx)
{
	int result = ADD(calls_threads);
	result |= add_one(ctx, CALL(clone), arg_masked(0, CLONE_THREAD, CLONE_THREAD));
	return result | seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0);
}

int
sandbox_calls_add(scmp_filter_ctx ctx, unsigned groups)
{
	bool sanitized = SANDBOX_SANITIZED != 0;
	int result = ADD(calls_base) | add_base_arguments(ctx);
	result |= add_calls(ctx, SCMP_ACT_KILL_PROCESS, calls_hostile,
		sizeof(calls_hostile) / sizeof(calls_hostile[0]));
	result |= add_memory(ctx, (groups & SANDBOX_CODE) != 0);
	if ((groups & SANDBOX_CHANNEL) != 0)
		result |= ADD(calls_channel);
	if ((groups & SANDBOX_NETWORK) != 0)
		result |= ADD(calls_network) | ADD(calls_accept) | ADD(calls_channel) |
			  add_sockets(ctx);
	if ((groups & SANDBOX_ACCEPT) != 0)
		result |= ADD(calls_accept);
	if ((groups & (SANDBOX_READ | SANDBOX_WRITE)) != 0)
		result |= ADD(calls_read);
	if ((groups & SANDBOX_READ) != 0 || sanitized)
		result |= add_open_to_read(ctx);
	if ((groups & SANDBOX_WRITE) != 0)
		result |= ADD(calls_write);
	if ((groups & SANDBOX_THREADS) != 0)
		result |= add_threads(ctx);
	if ((groups & SANDBOX_EXEC) != 0)
		result |= ADD(calls_exec);
	if (sanitized)
		result |= ADD(calls_sanitizer);
	return result < 0 ? -EINVAL : 0;
}
