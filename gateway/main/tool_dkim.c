/*
 * `postern dkim keygen DOMAIN SELECTOR [ed25519 | rsa2048] [FILE]`: makes a key, writes it with
 * mode 0600 into a file that is not there yet, and prints the DNS record and the line to
 * configure.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "filters/dkim_key.h"
#include "main/tool.h"
#include "smtp/address.h"

static const char usage[] = "dkim keygen DOMAIN SELECTOR [ed25519 | rsa2048] [FILE]";

/* RFC 1035 3.3: a character-string holds at most 255 bytes. */
enum { TXT_PIECE = 250 };

static int
write_key(const char *path, struct slice pem, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(err, "create %s", path);
	int result = 0;
	if (write(fd, pem.p, pem.n) != (ssize_t)pem.n || fsync(fd) < 0)
		result = err_sys(err, "write %s", path);
	if (close(fd) < 0 && result == 0)
		result = err_sys(err, "write %s", path);
	if (result < 0)
		unlink(path);
	return result;
}

static void
print_record(FILE *f, struct slice domain, struct slice selector, struct slice text)
{
	fprintf(f, "%.*s._domainkey.%.*s. IN TXT (", SLICE_ARG(selector), SLICE_ARG(domain));
	while (text.n != 0) {
		struct slice piece = slice_first(text, TXT_PIECE);
		fprintf(f, " \"%.*s\"", SLICE_ARG(piece));
		text = slice_from(text, piece.n);
	}
	fputs(" )\n", f);
}

static int
keygen(const struct tool *t, struct slice domain, struct slice selector,
	enum dkim_algorithm algorithm, const char *path, struct arena *a, struct err *err)
{
	struct dkim_key *key;
	struct buf pem;
	if (dkim_key_generate(algorithm, 0, &key, err) < 0)
		return -1;
	buf_init(&pem, 16384);
	int result = dkim_key_pem(key, &pem, err);
	if (result == 0)
		result = write_key(path, buf_slice(&pem), err);
	if (pem.data != NULL)
		mem_wipe(pem.data, pem.room);
	buf_fini(&pem);
	if (result == 0) {
		print_record(t->out, domain, selector, dkim_key_record(key, a));
		fprintf(t->out, "sign \"%.*s\" selector \"%.*s\" key \"%s\"\n",
			SLICE_ARG(domain), SLICE_ARG(selector), path);
	}
	dkim_key_free(&key);
	return result;
}

int
tool_dkim(const struct tool *t, int n, char *const words[])
{
	struct slice domain, selector;
	struct err err;
	if (n < 3 || n > 5 || strcmp(words[0], "keygen") != 0)
		return tool_usage(t, usage);
	enum dkim_algorithm algorithm = DKIM_RSA_SHA256;
	int next = 3;
	if (next < n && strcmp(words[next], "ed25519") == 0) {
		algorithm = DKIM_ED25519_SHA256;
		next++;
	} else if (next < n && strcmp(words[next], "rsa2048") == 0) {
		next++;
	}
	if (n - next > 1)
		return tool_usage(t, usage);
	struct arena *a = arena_new(1 << 20);
	int status = 1;
	if (!domain_parse(slice_of(words[1]), true, false, a, &domain)) {
		fprintf(t->err, "postern: \"%s\" is no domain name\n", words[1]);
	} else if (!domain_parse(slice_of(words[2]), false, false, a, &selector)) {
		fprintf(t->err, "postern: \"%s\" is no selector\n", words[2]);
	} else {
		const char *path = n > next ? words[next]
					    : arena_printf(a, "%.*s.%.*s.pem",
						      SLICE_ARG(domain), SLICE_ARG(selector))
						      .p;
		status = keygen(t, domain, selector, algorithm, path, a, &err) == 0 ? 0 : 1;
		if (status != 0)
			fprintf(t->err, "postern: %s\n", err.text);
	}
	arena_free(&a);
	return status;
}
