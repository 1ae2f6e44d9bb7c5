// Computes for about as long as the path says: /compute/MS, in whichever goroutine net/http gives the request to. Takes a port.
package main

import (
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var rounds int // In a millisecond.

//go:noinline
func spin(count int) (sum uint64) {
	for i := 0; i < count; i++ {
		sum += uint64(i) * sum
	}
	return
}

func handle(w http.ResponseWriter, r *http.Request) {
	milliseconds, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/compute/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	spin(rounds * milliseconds)
}

func main() {
	best := time.Hour
	for i := 0; i < 20; i++ {
		begun := time.Now()
		spin(1_000_000)
		best = min(best, time.Since(begun))
	}
	rounds = int(1_000_000 * time.Millisecond / best)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handle)))
}
