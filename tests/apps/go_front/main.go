// A server of Go's net/http that asks another one, UPSTREAM, before it answers, for /call/... with the same path; /quiet is
// answered at once. Takes a port.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	upstream := os.Getenv("UPSTREAM")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	call := func(w http.ResponseWriter, upstream string) {
		answer, err := client.Get(upstream)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		io.Copy(w, answer.Body)
	}
	http.HandleFunc("/call", func(w http.ResponseWriter, r *http.Request) { call(w, upstream) })
	http.HandleFunc("/call/", func(w http.ResponseWriter, r *http.Request) { call(w, upstream+r.URL.Path) })
	http.HandleFunc("/quiet", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "ok")
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
