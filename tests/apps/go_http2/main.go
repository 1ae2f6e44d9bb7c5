// HTTP/2 without TLS by Go's net/http. Paths answer with the status they name.
//
//	http2 serve PORT
//	http2 get URL STREAMS REQUESTS   as http2_client.js: one connection, so many streams at once, so many requests of each
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

var statuses = []int{200, 201, 404, 500}

func protocols() *http.Protocols {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &protocols
}

func serve(port string) error {
	answer := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		status, _ := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
		w.WriteHeader(status)
		io.WriteString(w, strings.Repeat("a", 3000))
	}
	server := &http.Server{
		Addr:      "127.0.0.1:" + port,
		Handler:   http.HandlerFunc(answer),
		Protocols: protocols(),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
	return server.ListenAndServe()
}

func get(client *http.Client, url string, lane, number int) error {
	status := statuses[number%4]
	method, body := http.MethodGet, io.Reader(nil)
	if status == 201 {
		method, body = http.MethodPost, strings.NewReader(strings.Repeat("b", 3000))
	}
	request, err := http.NewRequest(method, fmt.Sprintf("%s/%d/%d/%d", url, status, lane, number), body)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != status {
		return fmt.Errorf("%d, not %d", response.StatusCode, status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func main() {
	if os.Args[1] == "serve" {
		log.Fatal(serve(os.Args[2]))
	}
	client := &http.Client{Transport: &http.Transport{Protocols: protocols()}}
	streams, _ := strconv.Atoi(os.Args[3])
	requests, _ := strconv.Atoi(os.Args[4])
	var lanes sync.WaitGroup
	for lane := range streams {
		lanes.Add(1)
		go func() {
			defer lanes.Done()
			for number := range requests {
				if err := get(client, os.Args[2], lane, number); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	lanes.Wait()
}
