// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0

// The baseline in Go: reads a review and allows it.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID string `json:"uid"`
}

type response struct {
	UID     string `json:"uid"`
	Allowed bool   `json:"allowed"`
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in review
	if err != nil || json.Unmarshal(body, &in) != nil || in.Request == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	out, _ := json.Marshal(review{
		APIVersion: "admission.k8s.io/v1",
		Kind:       "AdmissionReview",
		Response:   &response{UID: in.Request.UID, Allowed: true},
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out)))
	_, _ = w.Write(out)
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: always-allow PORT CERT KEY")
	}
	server := &http.Server{
		Addr:        "127.0.0.1:" + os.Args[1],
		Handler:     http.HandlerFunc(answer),
		IdleTimeout: 120 * time.Second,
	}
	log.Fatal(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
