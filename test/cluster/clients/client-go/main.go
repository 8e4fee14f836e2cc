// SPDX-FileCopyrightText: The stepup authors
// SPDX-License-Identifier: Apache-2.0

// Command client-go writes one Deployment the ways typed client-go programs do, and prints what became of it as JSON.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedapps "k8s.io/client-go/kubernetes/typed/apps/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

// outcome is what a controller written with client-go gets to see.
type outcome struct {
	OK          bool    `json:"ok"`
	Code        int32   `json:"code,omitempty"`
	Reason      string  `json:"reason,omitempty"`
	Message     string  `json:"message,omitempty"`
	Approval    string  `json:"approval,omitempty"`
	IsForbidden bool    `json:"isForbidden"`
	Seconds     float64 `json:"seconds"`
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: client-go create|update|patch|apply|delete NAME IMAGE")
		os.Exit(2)
	}
	way, name, image := os.Args[1], os.Args[2], os.Args[3]
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	deployments := kubernetes.NewForConfigOrDie(config).AppsV1().Deployments("prod")
	startedAt := time.Now()
	err = write(context.Background(), deployments, way, name, image)
	answer, _ := json.Marshal(outcomeOf(err, time.Since(startedAt)))
	fmt.Println(string(answer))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(ctx context.Context, deployments typedapps.DeploymentInterface, way, name, image string) error {
	switch way {
	case "create":
		_, err := deployments.Create(ctx, deployment(name, image), metav1.CreateOptions{})
		return err
	case "update":
		// The usual loop of a controller: read, change, write, and again on a conflict.
		return retry.RetryOnConflict(retry.DefaultRetry, func() error {
			found, err := deployments.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			found.Spec.Template.Spec.Containers[0].Image = image
			_, err = deployments.Update(ctx, found, metav1.UpdateOptions{})
			return err
		})
	case "patch":
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":%q}]}}}}`, image)
		_, err := deployments.Patch(ctx, name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		return err
	case "apply":
		options := metav1.ApplyOptions{FieldManager: "client-go", Force: true}
		_, err := deployments.Apply(ctx, applied(name, image), options)
		return err
	case "delete":
		return deployments.Delete(ctx, name, metav1.DeleteOptions{})
	}
	return fmt.Errorf("write %s: no such way", way)
}

func outcomeOf(err error, took time.Duration) outcome {
	seen := outcome{OK: err == nil, IsForbidden: apierrors.IsForbidden(err), Seconds: took.Seconds()}
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		said := status.Status()
		seen.Code, seen.Reason, seen.Message = said.Code, string(said.Reason), said.Message
		if said.Details != nil {
			seen.Approval = said.Details.Name
		}
	}
	return seen
}

func deployment(name, image string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
			},
		},
	}
}

func applied(name, image string) *appsapply.DeploymentApplyConfiguration {
	labels := map[string]string{"app": name}
	container := coreapply.Container().WithName("c").WithImage(image)
	template := coreapply.PodTemplateSpec().WithLabels(labels).WithSpec(coreapply.PodSpec().WithContainers(container))
	selector := metaapply.LabelSelector().WithMatchLabels(labels)
	return appsapply.Deployment(name, "prod").
		WithSpec(appsapply.DeploymentSpec().WithSelector(selector).WithTemplate(template))
}
