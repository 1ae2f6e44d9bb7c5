module truth

go 1.22

require github.com/lib/pq v1.10.7

// Debian's golang-github-lib-pq-dev.
replace github.com/lib/pq => /usr/share/gocode/src/github.com/lib/pq
