// The scripted routes on Go's net/http. Takes a port.
package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
)

var (
	item = regexp.MustCompile(`^/items/\d+$`)
	big  = bytes.Repeat([]byte("z"), 65536)
)

func handle(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	switch path := r.URL.Path; {
	case path == "/ok":
		io.WriteString(w, "ok")
	case path == "/big":
		w.Write(big)
	case path == "/moved":
		w.Header().Set("Location", "/ok")
		w.WriteHeader(http.StatusFound)
	case path == "/fail":
		http.Error(w, "failed", http.StatusInternalServerError)
	case path == "/items" && r.Method == http.MethodPost:
		w.WriteHeader(http.StatusCreated)
	case item.MatchString(path) && r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case item.MatchString(path):
		io.WriteString(w, "item")
	default:
		http.NotFound(w, r)
	}
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handle)))
}
