/* ocsp_fetch - see ocsp_fetch.h */
#include "sbcd/sip/ocsp_fetch.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>

#include "sbcd/base/clock.h"

enum {
	HTTP_LINE_BYTES = 4096,
	ADDRESSES_MAX = 4, /* of a name, that are tried */
	STACK_BYTES = 256 * 1024,
	READ_BYTES = 4096,
};

struct job {
	struct job *next;
	struct tls_ocsp_url url;
	size_t request_size;
	uint8_t request[TLS_OCSP_REQUEST_MAX_BYTES];
	struct ocsp_fetch_result result;
};

struct queue {
	struct job *first, **last;
};

struct ocsp_fetch {
	pthread_mutex_t lock; /* of all but the fds */
	pthread_cond_t more;
	unsigned refs; /* the owner's, and one a thread; the last one frees */
	bool over;
	unsigned jobs;
	struct queue asked, answered;
	int fd; /* counts answers that were not taken */
	int stop_fd; /* readable: over */
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->last = &q->first;
}

static void queue_add(struct queue *q, struct job *j)
{
	j->next = NULL;
	*q->last = j;
	q->last = &j->next;
}

static struct job *queue_take(struct queue *q)
{
	struct job *j = q->first;

	if (j) {
		q->first = j->next;
		if (!q->first)
			q->last = &q->first;
	}
	return j;
}

/* ---- one job ---------------------------------------------------------------
 */

struct turn {
	int fd, stop_fd;
	uint64_t until_ms;
};

static int wait_for(const struct turn *t, short events)
{
	for (;;) {
		uint64_t now_ms = clock_mono_ms();
		struct pollfd p[2] = {{.fd = t->fd, .events = events},
				      {.fd = t->stop_fd, .events = POLLIN}};
		int n;

		if (now_ms >= t->until_ms)
			return -ETIMEDOUT;
		n = poll(p, 2, (int)(t->until_ms - now_ms));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && p[1].revents)
			return -ECANCELED;
		if (n > 0 && p[0].revents)
			return 0;
	}
}

static int connect_to(struct turn *t, const struct addrinfo *a)
{
	socklen_t len = sizeof(int);
	int error = 0, err;

	t->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       0);
	if (t->fd < 0)
		return -errno;
	if (!connect(t->fd, a->ai_addr, a->ai_addrlen))
		return 0;
	err = errno == EINPROGRESS ? wait_for(t, POLLOUT) : -errno;
	if (!err && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		err = -errno;
	if (!err && error)
		err = -error;
	if (!err)
		return 0;
	close(t->fd);
	t->fd = -1;
	return err == -ETIMEDOUT || err == -ECANCELED ? err : -EHOSTUNREACH;
}

static int open_one(struct turn *t, const struct tls_ocsp_url *url)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list, *a;
	int err = -EHOSTUNREACH;
	unsigned tried = 0;
	char port[8];

	snprintf(port, sizeof(port), "%u", url->port);
	if (getaddrinfo(url->host, port, &hints, &list))
		return -EHOSTUNREACH;
	for (a = list; a && tried < ADDRESSES_MAX; a = a->ai_next, tried++) {
		err = connect_to(t, a);
		if (err != -EHOSTUNREACH)
			break;
	}
	freeaddrinfo(list);
	return err;
}

static int send_all(const struct turn *t, BIO *from)
{
	char *data = NULL;
	long left = BIO_get_mem_data(from, &data);

	while (left > 0) {
		ssize_t n = send(t->fd, data, (size_t)left, MSG_NOSIGNAL);
		int err;

		if (n > 0) {
			data += n;
			left -= n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		err = wait_for(t, POLLOUT);
		if (err)
			return err;
	}
	return 0;
}

/* OpenSSL reads from memory alone: how much there is of it, and how long it
 * may take, is ours to say. 1: the peer has closed. */
static int read_some(const struct turn *t, BIO *to, size_t *total)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n;
	int err = wait_for(t, POLLIN);

	if (err)
		return err;
	n = recv(t->fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*total += (size_t)n;
	if (*total > OCSP_FETCH_BYTES_MAX)
		return -EMSGSIZE;
	if (n && BIO_write(to, bytes, (int)n) != n)
		return -ENOMEM;
	if (!n)
		BIO_set_mem_eof_return(to, 0);
	return n == 0;
}

static int take_answer(OSSL_HTTP_REQ_CTX *http, struct ocsp_fetch_result *r)
{
	BIO *bio = OSSL_HTTP_REQ_CTX_get0_mem_bio(http);
	char *data = NULL;
	long size = bio ? BIO_get_mem_data(bio, &data) : 0;

	if (size <= 0)
		return -EPROTO;
	if ((size_t)size > sizeof(r->data))
		return -EMSGSIZE;
	memcpy(r->data, data, (size_t)size);
	r->size = (size_t)size;
	return 0;
}

static int exchange(const struct turn *t, OSSL_HTTP_REQ_CTX *http, BIO *in,
		    BIO *out, struct ocsp_fetch_result *r)
{
	bool sent = false, closed = false;
	size_t total = 0;

	for (;;) {
		int done = OSSL_HTTP_REQ_CTX_nbio(http);
		int err = 0;

		if (done == 1)
			return take_answer(http, r);
		if (!done || closed)
			return -EPROTO;
		if (!sent) {
			err = send_all(t, out);
			sent = true;
		}
		if (!err)
			err = read_some(t, in, &total);
		if (err < 0)
			return err;
		closed = err == 1;
	}
}

static bool set_up(OSSL_HTTP_REQ_CTX *http, const struct job *j)
{
	const unsigned char *at = j->request;
	bool v6 = strchr(j->url.host, ':') != NULL;
	char host[TLS_OCSP_HOST_SIZE + 16];
	OCSP_REQUEST *request;
	bool ok;

	snprintf(host, sizeof(host), v6 ? "[%s]:%u" : "%s:%u", j->url.host,
		 j->url.port);
	if (j->url.port == 80)
		*strrchr(host, ':') = '\0';
	request = d2i_OCSP_REQUEST(NULL, &at, (long)j->request_size);
	ok = request &&
	     OSSL_HTTP_REQ_CTX_set_request_line(http, 1, NULL, NULL,
						j->url.path) == 1 &&
	     OSSL_HTTP_REQ_CTX_add1_header(http, "Host", host) == 1 &&
	     OSSL_HTTP_REQ_CTX_set_expected(http, "application/ocsp-response",
					    1, 0, 0) == 1 &&
	     OSSL_HTTP_REQ_CTX_set1_req(http, "application/ocsp-request",
					ASN1_ITEM_rptr(OCSP_REQUEST),
					(ASN1_VALUE *)request) == 1;
	OCSP_REQUEST_free(request);
	return ok;
}

static int fetch(const struct turn *t, struct job *j)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	OSSL_HTTP_REQ_CTX *http = NULL;
	int err = -ENOMEM;

	if (in && out) {
		/* nothing there is not the end */
		BIO_set_mem_eof_return(in, -1);
		http = OSSL_HTTP_REQ_CTX_new(out, in, HTTP_LINE_BYTES);
	}
	if (http) {
		OSSL_HTTP_REQ_CTX_set_max_response_length(
			http, TLS_OCSP_RESPONSE_MAX_BYTES);
		if (set_up(http, j))
			err = exchange(t, http, in, out, &j->result);
	}
	OSSL_HTTP_REQ_CTX_free(http);
	BIO_free(in);
	BIO_free(out);
	ERR_clear_error();
	return err;
}

static int run_job(int stop_fd, struct job *j)
{
	struct turn t = {.fd = -1,
			 .stop_fd = stop_fd,
			 .until_ms = clock_mono_ms() + OCSP_FETCH_MS};
	int err = open_one(&t, &j->url);

	if (!err)
		err = fetch(&t, j);
	if (t.fd >= 0)
		close(t.fd);
	return err;
}

/* ---- the threads -----------------------------------------------------------
 */

static void drop_queue(struct queue *q)
{
	struct job *j;

	while ((j = queue_take(q)))
		free(j);
}

/* Gives the lock back. */
static void unref(struct ocsp_fetch *f)
{
	bool last = --f->refs == 0;

	pthread_mutex_unlock(&f->lock);
	if (!last)
		return;
	drop_queue(&f->asked);
	drop_queue(&f->answered);
	close(f->fd);
	close(f->stop_fd);
	pthread_cond_destroy(&f->more);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static void tell(int fd)
{
	uint64_t one = 1;

	/* it cannot fail: so many are never there */
	(void)!write(fd, &one, sizeof(one));
}

static void *run(void *arg)
{
	struct ocsp_fetch *f = arg;
	struct job *j;

	pthread_mutex_lock(&f->lock);
	while (!f->over) {
		j = queue_take(&f->asked);
		if (!j) {
			pthread_cond_wait(&f->more, &f->lock);
			continue;
		}
		pthread_mutex_unlock(&f->lock);
		j->result.err = run_job(f->stop_fd, j);
		pthread_mutex_lock(&f->lock);
		queue_add(&f->answered, j);
		tell(f->fd);
	}
	unref(f);
	return NULL;
}

static int start_thread(struct ocsp_fetch *f)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t id;
	int err;

	if (pthread_attr_init(&attr))
		return -ENOMEM;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* signals are the SIP thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&id, &attr, run, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int ocsp_fetch_create(struct ocsp_fetch **out)
{
	struct ocsp_fetch *f = calloc(1, sizeof(*f));
	int err = 0;

	if (!f)
		return -ENOMEM;
	f->refs = 1;
	queue_init(&f->asked);
	queue_init(&f->answered);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->more, NULL);
	f->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f->fd < 0 || f->stop_fd < 0)
		err = -errno;
	pthread_mutex_lock(&f->lock);
	for (unsigned i = 0; !err && i < OCSP_FETCH_THREADS; i++) {
		err = start_thread(f);
		if (!err)
			f->refs++;
	}
	pthread_mutex_unlock(&f->lock);
	if (err) {
		ocsp_fetch_destroy(f);
		return err;
	}
	*out = f;
	return 0;
}

void ocsp_fetch_destroy(struct ocsp_fetch *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->over = true;
	tell(f->stop_fd);
	pthread_cond_broadcast(&f->more);
	unref(f);
}

/* ---- the owner -------------------------------------------------------------
 */

int ocsp_fetch_fd(const struct ocsp_fetch *f)
{
	return f->fd;
}

int ocsp_fetch_ask(struct ocsp_fetch *f, uint64_t token,
		   const struct tls_ocsp_url *url, const void *request,
		   size_t size)
{
	struct job *j;
	int err = 0;

	if (size > TLS_OCSP_REQUEST_MAX_BYTES)
		return -EMSGSIZE;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->url = *url;
	j->request_size = size;
	memcpy(j->request, request, size);
	j->result.token = token;
	pthread_mutex_lock(&f->lock);
	if (f->jobs == OCSP_FETCH_JOBS_MAX) {
		err = -EBUSY;
	} else {
		f->jobs++;
		queue_add(&f->asked, j);
		pthread_cond_signal(&f->more);
	}
	pthread_mutex_unlock(&f->lock);
	if (err)
		free(j);
	return err;
}

bool ocsp_fetch_take(struct ocsp_fetch *f, struct ocsp_fetch_result *out)
{
	uint64_t count;
	struct job *j;

	pthread_mutex_lock(&f->lock);
	j = queue_take(&f->answered);
	if (j)
		f->jobs--;
	if (!f->answered.first)
		(void)!read(f->fd, &count, sizeof(count));
	pthread_mutex_unlock(&f->lock);
	if (!j)
		return false;
	*out = j->result;
	free(j);
	return true;
}
