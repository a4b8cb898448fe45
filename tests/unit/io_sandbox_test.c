/*
 * The sandbox, each time in a child: what a kind may do works, what it may not is refused by
 * the kernel. Where the kernel lacks Landlock or seccomp the case is skipped, and says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "certs.h"
#include "io/child.h"
#include "io/dns.h"
#include "io/loop.h"
#include "io/sandbox.h"
#include "io/sandbox_priv.h"
#include "io/stream.h"

static char dir[] = "/tmp/io_sandbox_test.XXXXXX";
static char readable[64], writable[64], secret[64];

/* What a process tries; each returns 0, or its errno. */
static int
probe_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	char c;
	int result = read(fd, &c, 1) < 0 ? errno : 0;
	close(fd);
	return result;
}

static int
probe_create(const char *where)
{
	char path[128];
	snprintf(path, sizeof(path), "%s/new", where);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	int result = write(fd, "x", 1) != 1 || ftruncate(fd, 0) < 0 ? errno : 0;
	close(fd);
	unlink(path);
	return result;
}

static int
probe_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void *
probe_thread_main(void *arg)
{
	return arg;
}

static int
probe_thread(void)
{
	pthread_t t;
	int result = pthread_create(&t, NULL, probe_thread_main, NULL);
	if (result == 0)
		pthread_join(t, NULL);
	return result;
}

static int
probe_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return errno;
	munmap(p, 4096);
	return 0;
}

static int
probe_exec(void)
{
	char name[] = "true";
	char *argv[] = {name, NULL};
	return execve("/bin/true", argv, NULL) < 0 ? errno : 0;
}

static int
probe_channel(void)
{
	static int fds[2] = {-1, -1};
	return send(fds[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EBADF ? 0 : errno;
}

/* What does not listen is not accepted on: with another error than that of the sandbox. */
static int
probe_accept(void)
{
	int pair[2];
	if (accept4(-1, NULL, NULL, SOCK_CLOEXEC) >= 0 || errno != EBADF)
		return errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return errno;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

/* What the sandboxed child tells: an errno for each probe. */
struct told {
	int entered;
	char text[800];
	int read_allowed, read_secret, create_allowed, create_other, inet, inet_dgram, raw,
		netlink, accept, thread, code, exec, channel, setuid_root, memory_ok;
};

struct job {
	enum sandbox_kind kind;
	int fd;
};

static int
child_probe(void *arg)
{
	const struct job *job = arg;
	const char *const to_read[] = {readable, NULL}, *const to_write[] = {writable, NULL};
	struct sandbox_spec spec;
	struct sandbox_missing missing;
	struct told t = {0};
	struct err err = {.text = ""};
	sandbox_spec_of(job->kind, &spec);
	spec.readable = to_read;
	spec.writable = (spec.calls & SANDBOX_WRITE) != 0 ? to_write : NULL;
	t.entered = child_harden(&err);
	if (t.entered == 0)
		t.entered = sandbox_enter(&spec, &missing, &err);
	snprintf(t.text, sizeof(t.text), "%s%s", err.text, missing.text);
	char file[128];
	snprintf(file, sizeof(file), "%s/file", readable);
	t.read_allowed = probe_read(file);
	t.read_secret = probe_read(secret);
	t.create_allowed = probe_create(writable);
	t.create_other = probe_create(dir);
	t.inet = probe_socket(AF_INET, SOCK_STREAM);
	t.inet_dgram = probe_socket(AF_INET6, SOCK_DGRAM);
	t.raw = probe_socket(AF_INET, SOCK_RAW);
	t.netlink = probe_socket(AF_NETLINK, SOCK_DGRAM);
	t.accept = probe_accept();
	t.thread = probe_thread();
	t.code = probe_code();
	t.exec = probe_exec();
	t.channel = probe_channel();
	t.setuid_root = syscall(SYS_setuid, 0) < 0 ? errno : 0;
	void *p = malloc(1 << 20);
	t.memory_ok = p != NULL;
	free(p);
	return write(job->fd, &t, sizeof(t)) == (ssize_t)sizeof(t) ? 0 : 1;
}

static int
wait_for(pid_t pid)
{
	int status = -1;
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
probe(enum sandbox_kind kind, struct told *told_out)
{
	int p[2];
	struct err err;
	char text[CHILD_STATUS_BYTES];
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	struct job job = {kind, p[1]};
	struct child_spec spec = {
		.kind = "probe", .keep = &p[1], .nkeep = 1, .run = child_probe, .arg = &job};
	int status = wait_for(child_fork(&spec, &err));
	close(p[1]);
	if (status != 0)
		fail_msg("%s", child_status_text(status, text));
	assert_int_equal(read(p[0], told_out, sizeof(*told_out)), sizeof(*told_out));
	close(p[0]);
	if (told_out->entered != 0)
		fail_msg("%s", told_out->text);
}

static bool
offered(void)
{
	int abi;
	bool seccomp;
	sandbox_offers(&abi, &seccomp);
	if (abi >= 3 && seccomp)
		return true;
	print_message(
		"SKIPPED: Landlock ABI %d, seccomp %d: the sandbox cannot be proven here\n",
		abi, seccomp);
	return false;
}

enum { SANITIZED = SANDBOX_SANITIZED };

static void
each_kind_may_do_its_work_and_no_more(void **state)
{
	static const struct {
		enum sandbox_kind kind;
		bool reads, writes, network, threads, code;
	} rows[] = {
		{SANDBOX_SESSION, true, true, true, false, false},
		{SANDBOX_DELIVERY, false, false, true, false, false},
		{SANDBOX_SCANNER, true, true, false, true, true},
		{SANDBOX_SIGNER, false, false, false, false, false},
		{SANDBOX_AUTH, true, false, false, false, false},
		{SANDBOX_ENGINE, false, false, false, false, false},
		{SANDBOX_MILTER, false, false, false, true, false},
		{SANDBOX_DIRECTORY, true, false, true, false, false},
	};
	(void)state;
	if (!offered())
		skip();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct told t;
		probe(rows[i].kind, &t);
		assert_string_equal(t.text, ""); /* nothing is missing */
		bool reads = rows[i].reads ||
			     SANITIZED; /* their runtime opens files: Landlock decides */
		assert_int_equal(t.read_allowed, reads ? 0 : EPERM);
		assert_int_equal(t.read_secret, reads ? EACCES : EPERM);
		assert_int_equal(t.create_allowed, rows[i].writes ? 0 : EPERM);
		assert_int_equal(t.create_other, rows[i].writes ? EACCES : EPERM);
		assert_int_equal(t.inet, rows[i].network ? 0 : EPERM);
		assert_int_equal(t.inet_dgram, rows[i].network ? 0 : EPERM);
		assert_int_equal(t.raw, EPERM);
		assert_int_equal(t.netlink, EPERM);
		bool accepts = rows[i].network || rows[i].kind == SANDBOX_MILTER;
		assert_int_equal(t.accept, accepts ? 0 : EPERM);
		assert_int_equal(t.exec, EPERM);
		assert_int_equal(t.channel, 0);
		assert_int_equal(t.setuid_root, EPERM);
		assert_true(t.memory_ok);
		if (!SANITIZED) {
			assert_int_equal(t.thread, rows[i].threads ? 0 : EPERM);
			assert_int_equal(t.code, rows[i].code ? 0 : EPERM);
		}
	}
}

static struct {
	struct loop *loop;
	int secure;
	bool failed;
} inside;

static void
inside_step(void)
{
	if (inside.secure == 2 && inside.failed)
		loop_stop(inside.loop);
}

static void
inside_on_secure(void *arg)
{
	(void)arg;
	inside.secure++;
	inside_step();
}

static void
inside_on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)arg;
	fprintf(stderr, "lost %d: %s\n", (int)why, err->text);
	loop_stop(inside.loop);
}

static void
inside_on_answer(void *arg, const struct dns_answer *answer)
{
	(void)arg;
	inside.failed = answer->status == DNS_FAIL;
	inside_step();
}

/* OpenSSL and libunbound, opened before and used within. */
static int
child_libraries(void *arg)
{
	static const struct stream_calls calls = {
		.on_secure = inside_on_secure, .on_lost = inside_on_lost};
	const struct cert *c = arg;
	struct sandbox_spec spec;
	struct sandbox_missing missing;
	struct err err;
	struct dns_config config = {.n = 1, .servers = {{.port = 1}}};
	struct tls_peer peer = {.name = "x.example", .verify = TLS_VERIFY_NAME};
	ip_parse(SLICE("127.0.0.1"), &config.servers[0].ip);
	inside.loop = loop_new(&err);
	struct dns *dns = dns_open(inside.loop, &config, &err);
	struct tls_server *server = tls_server_new(&err);
	struct tls_client *client = tls_client_new(buf_slice(&c->cert_pem), &err);
	tls_server_add(server, buf_slice(&c->cert_pem), "c", buf_slice(&c->key_pem), "k", &err);
	sandbox_spec_of(SANDBOX_DELIVERY, &spec);
	if (sandbox_enter(&spec, &missing, &err) < 0)
		return 1;
	int fd[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		return 2;
	struct stream *a = stream_new(inside.loop, fd[0], 65536, &calls, NULL);
	struct stream *b = stream_new(inside.loop, fd[1], 65536, &calls, NULL);
	stream_start_tls_server(a, server, 5000);
	if (stream_start_tls_client(b, client, &peer, 5000, &err) < 0)
		return 3;
	dns_ask(dns, SLICE("x.example"), DNS_TLSA, DNS_SECURE, 300, inside_on_answer, NULL);
	if (loop_run(inside.loop, &err) < 0)
		return 4;
	struct dns_counts counts;
	dns_counts(dns, &counts);
	stream_free(&a);
	stream_free(&b);
	dns_close(&dns);
	tls_server_free(&server);
	tls_client_free(&client);
	loop_free(&inside.loop);
	return inside.secure == 2 && inside.failed && counts.validated == 1 ? 0 : 5;
}

static void
libraries_work_inside(void **state)
{
	struct cert c;
	struct err err;
	struct child_spec spec = {.kind = "probe", .run = child_libraries, .arg = &c};
	(void)state;
	cert_make(&c, "x.example", CERT_EC, 2, NULL);
	assert_int_equal(wait_for(child_fork(&spec, &err)), 0);
	cert_free(&c);
}

static int
child_hostile(void *arg)
{
	struct sandbox_spec spec;
	struct sandbox_missing missing;
	struct err err;
	(void)arg;
	sandbox_spec_of(SANDBOX_SCANNER, &spec);
	if (sandbox_enter(&spec, &missing, &err) < 0)
		return 1;
	syscall(SYS_unshare, 0);
	return 2;
}

static void
what_only_an_attacker_calls_is_the_end(void **state)
{
	struct err err;
	struct child_spec spec = {.kind = "probe", .run = child_hostile};
	(void)state;
	if (!offered())
		skip();
	int status = wait_for(child_fork(&spec, &err));
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int
child_limits(void *arg)
{
	struct sandbox_missing missing;
	struct err err;
	struct sandbox_spec spec = {.kind = "x",
		.calls = SANDBOX_BASE | SANDBOX_READ | SANDBOX_WRITE,
		.writable = arg};
	spec.nofile = 20;
	spec.file_bytes = 1000;
	spec.memory_bytes = 512 * 1024 * 1024;
	signal(SIGXFSZ, SIG_IGN);
	if (sandbox_enter(&spec, &missing, &err) < 0)
		return 1;
	int n = 0;
	while (n < 100 && dup(2) >= 0)
		n++;
	if (n >= 20 || errno != EMFILE)
		return 2;
	for (int fd = 3; fd < 20; fd++)
		close(fd);
	char path[128], block[2000] = "";
	snprintf(path, sizeof(path), "%s/large", writable);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, block, sizeof(block)) != 1000 || write(fd, block, 1) >= 0 ||
		errno != EFBIG)
		return 3;
	unlink(path);
	if (!SANITIZED && mmap(NULL, (size_t)1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
				  -1, 0) != MAP_FAILED)
		return 4;
	return 0;
}

static void
limits_hold(void **state)
{
	struct err err;
	const char *paths[] = {writable, NULL};
	struct child_spec spec = {.kind = "probe", .run = child_limits, .arg = paths};
	(void)state;
	int status = wait_for(child_fork(&spec, &err));
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int
child_bad_path(void *arg)
{
	const char *const paths[] = {"/nonexistent/path", NULL};
	struct sandbox_missing missing;
	struct sandbox_spec spec;
	struct err err;
	(void)arg;
	sandbox_spec_of(SANDBOX_AUTH, &spec);
	spec.readable = paths;
	return sandbox_enter(&spec, &missing, &err) < 0 && strstr(err.text, paths[0]) != NULL
		       ? 0
		       : 1;
}

static void
a_path_that_is_not_there_is_an_error(void **state)
{
	struct err err;
	struct child_spec spec = {.kind = "probe", .run = child_bad_path};
	(void)state;
	if (!offered())
		skip();
	assert_int_equal(wait_for(child_fork(&spec, &err)), 0);
}

static void
make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static int
make_paths(void **state)
{
	char file[128];
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(readable, sizeof(readable), "%s/readable", dir);
	snprintf(writable, sizeof(writable), "%s/writable", dir);
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	mkdir(readable, 0700);
	mkdir(writable, 0700);
	snprintf(file, sizeof(file), "%s/file", readable);
	make_file(file);
	make_file(secret);
	return 0;
}

static int
remove_paths(void **state)
{
	char file[128];
	(void)state;
	snprintf(file, sizeof(file), "%s/file", readable);
	unlink(file);
	unlink(secret);
	rmdir(readable);
	rmdir(writable);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_may_do_its_work_and_no_more),
		cmocka_unit_test(libraries_work_inside),
		cmocka_unit_test(what_only_an_attacker_calls_is_the_end),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_path_that_is_not_there_is_an_error),
	};
	return cmocka_run_group_tests(tests, make_paths, remove_paths);
}
