#include "sbcd/keeper/files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "sbcd/base/log.h"
#include "sbcd/sip/tls_config.h"

enum { CLUSTER_KEY_SIZE = 32, CLUSTER_KEYS_MAX = 2, SMALL_FILE_MAX = 256 };

/* ---- configuration ------------------------------------------------------ */
static int read_text(const char *path, char **out)
{
	int err = config_read_file(path, out);

	if (err)
		fprintf(stderr, "%s:0: cannot be read: %s\n", path,
			strerror(-err));
	return err;
}

/* Each check starts its list anew: what it found is printed at once. */
static int print_errors(int err, const struct config_errors *errors)
{
	if (err && errors->len)
		fputs(errors->text, stderr);
	return err;
}

int files_read_config(struct keeper *k, const struct keeper_params *p)
{
	struct config_errors *errors = calloc(1, sizeof(*errors));
	char *node_text = NULL;
	int err, err2;

	if (!errors)
		return -ENOMEM;
	err = read_text(p->config_file, &k->config_text);
	err2 = read_text(p->node_file, &node_text);
	/* Both are looked at, so that one run shows everything. */
	if (!err)
		err = print_errors(config_parse(&k->config, k->config_text,
						p->config_file, errors),
				   errors);
	if (!err2)
		err2 = print_errors(config_node_parse(&k->node, node_text,
						      p->node_file, errors),
				    errors);
	if (!err && !err2)
		err = print_errors(config_check(k->config, &k->node, errors),
				   errors);
	if (!err && !err2)
		err = print_errors(tls_config_check(k->config, p->config_file,
						    (int64_t)time(NULL),
						    errors),
				   errors);
	if (!err && !err2)
		err = print_errors(tls_config_check_access(k->config,
							   p->config_file,
							   &k->node, errors),
				   errors);
	free(errors);
	k->worker_text = node_text;
	return err ? err : err2;
}

/* ---- keys --------------------------------------------------------------- */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int parse_hex(uint8_t *out, size_t size, const char *text)
{
	for (size_t i = 0; i < size; i++) {
		int hi = hex_digit(text[2 * i]);
		int lo = hi < 0 ? -1 : hex_digit(text[2 * i + 1]);

		if (lo < 0)
			return -EINVAL;
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static void format_hex(char *out, const uint8_t *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[data[i] >> 4];
		out[2 * i + 1] = digits[data[i] & 15];
	}
	out[2 * size] = '\0';
}

static int check_key_mode(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid || st.st_mode & 0077) {
		fprintf(stderr, "%s:0: must be a file of root with mode 0600\n",
			path);
		return -EPERM;
	}
	return 0;
}

/* One key a line: ours, and perhaps the one of before or to come. */
static int parse_keys(uint8_t keys[][CLUSTER_KEY_SIZE], size_t *len,
		      const char *text, size_t size)
{
	enum { DIGITS = 2 * CLUSTER_KEY_SIZE };

	for (*len = 0; *len < CLUSTER_KEYS_MAX && size; ++*len) {
		if (size < DIGITS ||
		    parse_hex(keys[*len], CLUSTER_KEY_SIZE, text))
			return -EINVAL;
		text += DIGITS;
		size -= DIGITS;
		if (size && *text != '\n')
			return -EINVAL;
		text += size > 0;
		size -= size > 0;
	}
	return *len && !size ? 0 : -EINVAL;
}

static int read_cluster_keys(const char *path, uint8_t keys[][CLUSTER_KEY_SIZE],
			     size_t *len)
{
	char text[CLUSTER_KEYS_MAX * (2 * CLUSTER_KEY_SIZE + 1) + 1];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), err;

	if (fd < 0) {
		err = -errno;
		fprintf(stderr, "%s:0: cannot be read: %s\n", path,
			strerror(-err));
		return err;
	}
	err = check_key_mode(fd, path);
	if (err)
		goto out;
	n = read(fd, text, sizeof(text));
	err = n < 0 ? -EINVAL : parse_keys(keys, len, text, (size_t)n);
	if (err)
		fprintf(stderr,
			"%s:1: must be 64 hexadecimal digits "
			"(openssl rand -hex 32), or two such lines while the "
			"key is changed\n",
			path);
out:
	explicit_bzero(text, sizeof(text));
	close(fd);
	return err;
}

/* What the workers get: node.conf and a comment with their secret. */
static int add_worker_secret(struct keeper *k, const uint8_t *key)
{
	uint8_t secret[HA_BEAT_KEY_SIZE];
	char hex[KEEPER_KEY_HEX_SIZE];
	char *text;
	int err = ha_key_derive(key, CLUSTER_KEY_SIZE, "worker", secret);

	if (err)
		return err;
	format_hex(hex, secret, sizeof(secret));
	explicit_bzero(secret, sizeof(secret));
	if (asprintf(&text, "%s\n# worker-secret %s\n", k->worker_text, hex) <
	    0)
		err = -ENOMEM;
	explicit_bzero(hex, sizeof(hex));
	if (err)
		return err;
	free(k->worker_text);
	k->worker_text = text;
	return 0;
}

/* Both nodes' forwarded packets are believed under each of them. */
static int add_forward_key(struct keeper *k, const uint8_t *key)
{
	uint8_t forward[HA_BEAT_KEY_SIZE];
	size_t used = strlen(k->forward_key);
	int err = ha_key_derive(key, CLUSTER_KEY_SIZE, "forward", forward);

	if (used)
		k->forward_key[used++] = ' ';
	if (!err)
		format_hex(k->forward_key + used, forward, sizeof(forward));
	explicit_bzero(forward, sizeof(forward));
	return err;
}

int files_read_key(struct keeper *k)
{
	uint8_t keys[CLUSTER_KEYS_MAX][CLUSTER_KEY_SIZE];
	size_t len = 0;
	int err = read_cluster_keys(k->node.cluster_key_file, keys, &len);

	if (!err)
		err = ha_key_derive(keys[0], sizeof(keys[0]), "beat",
				    k->beat_key);
	if (!err && len > 1)
		err = ha_key_derive(keys[1], sizeof(keys[1]), "beat",
				    k->other_beat_key);
	k->has_other_key = len > 1;
	for (size_t i = 0; !err && i < len; i++)
		err = add_forward_key(k, keys[i]);
	if (!err)
		err = add_worker_secret(k, keys[0]);
	explicit_bzero(keys, sizeof(keys));
	return err;
}

/* ---- state -------------------------------------------------------------- */
static void state_path(const struct keeper *k, const char *name, char *buf,
		       size_t size)
{
	snprintf(buf, size, "%s/%s", k->node.state_dir, name);
}

void files_epoch_path(const struct keeper *k, char *buf, size_t size)
{
	state_path(k, "epoch", buf, size);
}

/* False: there is none, or it cannot be read. */
static bool read_small(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

void files_service_path(const struct keeper *k, char *buf, size_t size)
{
	state_path(k, "service", buf, size);
}

void files_read_service(const struct keeper *k, char *buf, size_t size)
{
	char path[PATH_MAX];

	files_service_path(k, path, sizeof(path));
	if (!read_small(path, buf, size))
		buf[0] = '\0';
}

static int make_boot_id(struct keeper *k)
{
	char path[PATH_MAX], text[SMALL_FILE_MAX];
	struct timespec now;
	uint64_t last = 0;
	int n;

	state_path(k, "boot", path, sizeof(path));
	if (read_small(path, text, sizeof(text)))
		last = strtoull(text, NULL, 16);
	clock_gettime(CLOCK_REALTIME, &now);
	k->boot_id = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	/* The peer's replay windows only ever go up. */
	if (k->boot_id <= last)
		k->boot_id = last + 1;
	n = snprintf(text, sizeof(text), "%016" PRIx64 "\n", k->boot_id);
	return disk_write_file_now(path, text, (size_t)n);
}

int files_read_state(struct keeper *k)
{
	char path[PATH_MAX], text[SMALL_FILE_MAX];
	int err;

	if (mkdir(k->node.state_dir, 0700) && errno != EEXIST) {
		err = -errno;
		log_err("state-dir=%s event=unusable error=\"%s\"",
			k->node.state_dir, strerror(-err));
		return err;
	}
	err = make_boot_id(k);
	if (err) {
		log_err("state-dir=%s event=not-writable error=\"%s\"",
			k->node.state_dir, strerror(-err));
		k->disk_failed = true;
	}
	epoch_init(&k->epoch, k->node.id);
	files_epoch_path(k, path, sizeof(path));
	if (read_small(path, text, sizeof(text)) &&
	    epoch_parse(&k->epoch, text)) {
		/* What the peer says is above it in any case but a cold start
		 * of both. */
		log_err("file=%s event=damaged: counting begins anew", path);
		k->disk_failed = true;
	}
	return 0;
}
